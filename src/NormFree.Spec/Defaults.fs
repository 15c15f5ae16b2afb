namespace NormFree.Spec

/// Default hyperparameters of several projects. They are in Spec because recipes and the command line must not depend on libtorch.
[<RequireQualifiedAccess>]
module Defaults =

    /// λ of adaptive gradient clipping in the paper's recipe.
    [<Literal>]
    let AgcLambda = 0.02
