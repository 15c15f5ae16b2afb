namespace NormFree.Spec

/// Default hyperparameters of several projects. They are in Spec because recipes and the command line must not depend on libtorch.
[<RequireQualifiedAccess>]
module Defaults =

    /// λ of adaptive gradient clipping in the paper's recipe.
    [<Literal>]
    let AgcLambda = 0.02

    /// α of residual branches in the paper's networks.
    [<Literal>]
    let Alpha = 0.2

    /// The weight decay of stage 1 in the paper's recipe; stage 2 has none.
    [<Literal>]
    let Stage1WeightDecay = 1e-5
