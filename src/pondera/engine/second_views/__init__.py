"""Second views: what a model is shown or asked about a sample is changed, and the difference teaches.

A view yields side arrays for rewards, a loss on the completions' own tokens, or both (`engine.auxiliary`):

    plan              which views a stage makes; what cannot work is refused
    pictures_apart    degraded and masked pictures: a loss
    captions          a caption in place of the picture: a side array and a loss
    thoughts          thoughts without the picture, answers without the thought: side arrays
    perturbed         frames out of order, answered again: side arrays

under them, pure: `divergence` (torch), `pictures`, `frames`, `wording`; `tools` has what they work with.
"""
