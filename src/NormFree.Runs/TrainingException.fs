namespace NormFree.Runs

open System

/// <summary>A training, evaluation or prediction cannot go on; the message says why and what to do.</summary>
[<Sealed>]
type TrainingException(message: string) =
    inherit Exception(message)
