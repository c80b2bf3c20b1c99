r"""A lambda architecture over a HAPI FHIR server: how many patients match, right now, and can the number be trusted.

    HAPI's tables -> source/ -> batch/ ----> serving/ -> an answer
                            \-> speed/ -/
                 views/  compiles each ViewDefinition to one SELECT, which all of them run

Start reading at `serving/merge.py` (the merge), `serving/read.py` (when an answer may be given) and `speed/poll.py`
(how changes are captured). Scripts and notebooks import `lambda_pipeline.api`.
"""
