"""Our training epochs beside those of other libraries, on the same data.

The other libraries live in a Python environment of their own (see
`requirements.txt`); `rectools_sasrec.py` and `recbole_lightgcn.py` run there
and import nothing of this repository but `turns.py`.
"""
