"""The report: one run, and one of its verifications, as one HTML file that needs nothing else.

``evidence`` reads the run folder, ``tables`` packs its transcripts into columns, ``figures`` computes,
``causes`` and ``story`` word the headline, ``page`` renders. Only ``evidence`` and ``page`` touch files: they
read.
"""
