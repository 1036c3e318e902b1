"""The life of jobs, one module a flow; all of them move jobs through `moves`.

The hot services take a sequence and return one outcome per item, in its order: a value, or an AppError that is
returned, not raised, because a neighbour's error is nobody else's business.
"""
