namespace NormFree.Training

type Placeholder = { Value: int }
