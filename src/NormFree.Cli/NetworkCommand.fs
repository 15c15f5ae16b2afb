namespace NormFree.Cli

open NormFree.Runs
open NormFree.Spec

/// <summary><c>normfree network show</c>.</summary>
[<RequireQualifiedAccess>]
module internal NetworkCommand =

    /// Stems for 32×32 images, unless another one is asked for.
    let private smallImages = 32

    /// <summary>Prints all architectures, for 32×32 images and 10 classes.</summary>
    let list () =
        let row (name, table: Size -> StemKind -> NetSpec) =
            match
                table Size.Full CifarStem
                |> Net.withClasses 10
                |> Net.withBinarise ActivationsAndWeights
                |> Summary.create 32 32
            with
            | Error errors -> invalidOp $"{errors}"
            | Ok { Total = total } ->
                [ name
                  $"{total.Parameters:N0}"
                  $"{total.BinaryParameters:N0}"
                  Show.short total.Ops
                  $"{float total.PackedBytes / 1e6:F2} MB" ]

        Show.table [ "architecture"; "parameters"; "1-bit"; "OPs"; "packed size" ] (List.map row Architecture.all)

        Output.prose
            "For 32×32 images and 10 classes, with binary weights and no batch norm. 'normfree summary --arch NAME' has more."

    /// <summary>Prints an architecture as JSON.</summary>
    let show (args: Arguments) =
        NetworkOptions.ofTable args args.Operands.Head smallImages (args.Get Options.Network.classes)
        |> NetworkJson.write
        |> Output.line
