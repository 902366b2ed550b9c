"""Every cell of the fault matrix, by name. To add one: write it in the file of its part, name it here."""

from collections.abc import Mapping

from tests.faults.cells import answers, everything, gateway, notifier, postgres, redis, triton, workers
from tests.faults.cells.cell import Cell

CELLS: Mapping[str, Cell] = {
    "worker_killed": Cell(workers.killed, 20),
    "worker_killed_before_the_call": Cell(workers.before_the_call, 30),
    "worker_killed_after_the_call": Cell(workers.after_the_call, 30),
    "worker_killed_before_commit": Cell(workers.before_commit, 30),
    "worker_killed_after_commit": Cell(workers.after_commit, 30),
    "worker_killed_after_publish": Cell(workers.after_publish, 30),
    "workers_killed_again_and_again": Cell(workers.killed_again_and_again, 35),
    "worker_stopped_and_continued": Cell(workers.stopped_and_continued, 45),
    "worker_told_to_stop": Cell(workers.told_to_stop, 12, quick=True),
    "worker_killed_by_a_row": Cell(workers.killed_by_a_row, 50),
    "api_killed_during_submit": Cell(gateway.killed_during_submit, 15, quick=True),
    "api_killed_during_a_run": Cell(gateway.killed_during_a_run, 10),
    "cancelled_while_workers_die": Cell(gateway.cancelled_while_workers_die, 10),
    "notifier_killed": Cell(notifier.killed, 10),
    "listeners_cut_off": Cell(notifier.cut_off, 10),
    "postgres_killed_every_few_seconds": Cell(postgres.killed_every_few_seconds, 30),
    "postgres_connection_ended_in_commit": Cell(postgres.connection_ended_in_commit, 12, quick=True),
    "postgres_connections_ended": Cell(postgres.connections_ended, 12),
    "postgres_backend_killed": Cell(postgres.one_backend_killed, 12),
    "redis_killed_and_empty": Cell(redis.killed_and_empty, 10),
    "redis_emptied": Cell(redis.emptied, 10),
    "redis_stopped": Cell(redis.stopped, 30),
    "triton_killed": Cell(triton.killed, 20),
    "triton_stopped": Cell(triton.stopped, 25),
    "triton_slower_than_the_deadline": Cell(triton.slower_than_the_deadline, 15),
    "model_unloaded": Cell(triton.unloaded, 15),
    "model_hangs": Cell(triton.hanging, 20),
    "model_of_another_version": Cell(triton.another_version, 15),
    "model_exchanged": Cell(triton.exchanged, 15),
    "answers_spoiled": Cell(answers.spoiled, 12, quick=True),
    "answers_refused": Cell(answers.refused, 10),
    "answers_unavailable_for_a_while": Cell(answers.unavailable_for_a_while, 15),
    "everything_killed": Cell(everything.killed, 40, quick=True),
}
