namespace NormFree.Cli

open NormFree.Runs

/// <summary><c>normfree network show</c>.</summary>
[<RequireQualifiedAccess>]
module internal NetworkCommand =

    /// Stems for 32×32 images, unless another one is asked for.
    let private smallImages = 32

    /// <summary>Prints an architecture as JSON.</summary>
    let show (args: Arguments) =
        NetworkOptions.ofTable args args.Operands.Head smallImages (args.Get Options.classes)
        |> NetworkFile.write
        |> Output.line
