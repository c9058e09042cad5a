"""Comparing libraries fairly on one machine: cases, workers, turns, figures, reports.

The modules build on each other in this order:

`cases`, `classes`
    What is computed, and the shape classes, as data.
`operands`
    A case's arrays, the same values for every library.
`reference`
    Is a result right, and how accurate is it?
`libraries`
    How a person would write a case with each library.
`worker`
    The process that one library lives in.
`turns`
    The coordinator: who computes when.
`machine`
    What it runs on, and who else uses it.
`figures`
    Samples to ratios, ratios to summaries.
`report`, `plots`
    Figures to tables, JSON and pictures.
"""
