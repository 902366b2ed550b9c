"""The api under load: beside a run, and beyond what it takes."""
