"""lc0's chess nets: from a ``.pb.gz`` file to a torch module with sites at squares.

`load.load_net` is the way in. What a net sees and says is named by `planes` and `moves`; its
residual stream is read and written by `stream.Lc0Stream`.
"""
