namespace NormFree.Spec

/// How signals inside a network are normalised.
type Norm =
    | BatchNorm
    | NoNorm
    | BnFree of alpha: float
