namespace NormFree.Runs

open System

/// <summary>A training, evaluation or prediction cannot continue; the message has the reason and the remedy.</summary>
[<Sealed>]
type TrainingException(message: string) =
    inherit Exception(message)
