"""The report: a run and one of its verifications as a self-contained HTML file.

``evidence`` reads the run folder, ``tables`` packs its transcripts into columns, ``figures`` computes,
``wording`` and ``story`` write the headline, ``page`` renders. Only ``evidence`` and ``page`` read files.
"""
