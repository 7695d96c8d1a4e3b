"""Who finds the nearest rows, and how? Exact scans, their codes, approximate indexes, the planner.

==================  ==============================================================================
`neighbours`        what every search returns, and how similarity is measured in the end
`codes`             short rows with a proven bound, so that an exact scan reads a tenth
`scan`, `batch`     the exact search: one query, many queries
`batch_found`       which rows of a block may be among the nearest to each query
`one_thread`        how a small product is kept to one thread of BLAS
`backends`          the promise of all who search; the exact one, and one with an index
`faiss_rows`        which rows an index of faiss proposes: inverted lists, or a graph
`lance_rows`        which rows an index inside the Lance table proposes
`planner`           who answers a query
`recall`            what an approximate search finds of held queries
`indexing`          how codes and approximate indexes are made, and put in an index in use
`records`           do they belong to the vectors that are there?
==================  ==============================================================================
"""
