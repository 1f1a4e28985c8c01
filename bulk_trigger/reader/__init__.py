"""The first stage: a job list, as a file or from Python, becomes rows."""

from .job_list import STDIN, Format, JobList, describe_problems
from .tuples import JobTuple, JobTuples

__all__ = ["STDIN", "Format", "JobList", "JobTuple", "JobTuples", "describe_problems"]
