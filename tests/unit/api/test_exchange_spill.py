from uuid import UUID

from services.api.exchange.imports.spill import Spill
from shared.ids import new_id


def test_all_of_a_data_row_is_in_one_bucket_in_the_order_it_came() -> None:
    rows = [UUID(str(new_id())) for _ in range(300)]
    with Spill(8 * 1024 * 1024) as spill:
        assert spill.buckets == 8
        for n in range(60_000):
            spill.add((rows[n % 300].bytes, n))
        assert spill.data_rows() == sorted(rows)
        seen: dict[bytes, list[int]] = {}
        for number in range(spill.buckets):
            here = [record for chunk in spill.bucket(number) for record in chunk]
            assert not {record[0] for record in here} & seen.keys()
            for row, n in here:
                seen.setdefault(row, []).append(n)
    assert sum(map(len, seen.values())) == 60_000
    assert all(places == sorted(places) for places in seen.values())


def test_a_small_upload_is_one_bucket_and_an_empty_one_has_no_rows() -> None:
    with Spill(10) as spill:
        assert (spill.buckets, spill.data_rows(), list(spill.bucket(0))) == (1, [], [])
