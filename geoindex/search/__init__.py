"""Vector search: exact scans and their pruning, approximate indexes, the planner.

==================  ==============================================================================
`similarity`        what every search returns, and how similarity is measured in the end
`pruning`           short rows with a proven bound, so that an exact scan reads a tenth
`exact`             the exact search of one query
`exact_batch`       the exact search of many queries
`base`              the promise of all backends; the exact one, and one with an index
`faiss_backend`     rows that an index of faiss proposes: inverted lists, or a graph
`lance_backend`     rows that an index inside the Lance table proposes
`planner`           chooses who answers a query
`recall`            what an approximate search finds of held queries
`build_ann`         makes codes and approximate indexes, and puts them into an index in use
`ann_records`       checks that they belong to the vectors that are there
==================  ==============================================================================
"""
