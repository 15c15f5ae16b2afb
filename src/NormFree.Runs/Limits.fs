namespace NormFree.Runs

open System

/// <summary>Bounds of numbers that people give: a slip of the keyboard must not take the machine down.</summary>
[<RequireQualifiedAccess>]
module Limits =

    let epochs = 1, 100_000
    let batch = 1, 65_536
    /// <summary>Parts of a batch.</summary>
    let accumulate = 1, 65_536
    /// <summary>Pixels along a side of an image.</summary>
    let imageSide = 1, 4_096
    /// <summary>Images of a data set.</summary>
    let images = 1, 1_000_000_000
    let classes = 2, 10_000_000
    let learningRate = 100.0
    let weightDecay = 10.0
    /// <summary>Checkpoints of a stage.</summary>
    let keep = 1, 10_000
    let ranks = 1, 65_536
    let restarts = 0, 10_000
    /// <summary>Minutes between two checkpoints.</summary>
    let minutes = 0.0, 1e6
    /// <summary>α of mixup and CutMix: below it, drawing shares takes few attempts.</summary>
    let mixAlpha = 2.0
    /// <summary>Operations of RandAugment.</summary>
    let randOperations = 1, 14
    /// <summary>The magnitude of RandAugment: torchvision's bins.</summary>
    let randMagnitude = 0, 30
    /// <summary>Factors of a network's width and depth.</summary>
    let factor = 64.0

    /// <summary>Characters of a network's spec in a file. Longer ones are rejected before they are parsed: 4096 layers need less.</summary>
    let specLength = 4_000_000

    /// <summary>The most threads per processor.</summary>
    let threadsPerProcessor = 4

    /// <summary>Threads on this machine.</summary>
    let threads = 1, threadsPerProcessor * Environment.ProcessorCount

    /// <summary>A warning if there are more threads than processors.</summary>
    let threadWarning (name: string) (count: int) =
        if count > Environment.ProcessorCount then
            Some
                $"{name} {count} exceeds the {Environment.ProcessorCount} processors: the threads will wait for each other."
        else
            None

    /// <summary>The value, or a sentence that names the bounds.</summary>
    let within (name: string) (least: int, most: int) (value: int) : Result<int, string> =
        if least <= value && value <= most then
            Ok value
        else
            Error $"{name} takes a whole number from {least} to {most}, not {value}."
