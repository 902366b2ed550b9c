"""Seeing a run's stored detections through another alignment, without inference.

    await reproject(work, run, entries, member_id)      # at once, for a run or preview that is held and has ended

`reading` brings rows with their detections and decisions, `seeing` decides what of a row is shown, `writing` stores it.
"""
