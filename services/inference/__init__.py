"""Takes segments of runs and calls Triton in batches. The files are the path of a batch, in order:

worker → segments → inputs/ → triton → decoders/ → pipeline → results
"""
