namespace NormFree.Reporting

type Placeholder = { Value: int }
