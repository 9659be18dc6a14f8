"""Room events: files in, selected events out.

`sources` brings public files, `formats` reads event files, `columns` groups their columns to collections, `evaluate`
computes expressions (`operators`, `functions`, `momenta`, `angles`), `objects` and `candidates` build what is
selected, `selector` runs the selection over chunks, `sample` over files, `normalise`, `histograms` and `pseudo` turn
weights to expected events.
"""
