namespace NormFree.Cli

open System
open System.IO
open NormFree.Formats
open NormFree.Zoo

/// <summary><c>normfree zoo</c>: its list, its cards and its files.</summary>
[<RequireQualifiedAccess>]
module internal ZooCommand =

    /// <summary>Lists the networks.</summary>
    let list () =
        Show.table
            [ "network"; "data"; "top-1"; "packed file"; "latency"; "checkpoint" ]
            [ for name in ModelZoo.Names do
                  let card = ModelZoo.Card name

                  [ name
                    card.Data.Name
                    $"{100.0 * card.Accuracy.Top1():F2} %%"
                    $"{float card.Packed.Bytes / 1000.0:F0} kB"
                    $"{card.Latency.MedianMs:F2} ms"
                    (if isNull card.Checkpoint then "no" else "yes") ] ]

        Output.prose
            "'normfree zoo card NAME' prints a model card; 'zoo:NAME' stands for the file: normfree predict --packed zoo:NAME cat.jpg"

    /// <summary>Prints a model card.</summary>
    let card (args: Arguments) = Output.line ((ZooFile.card args.Operands.Head).ToMarkdown().TrimEnd())

    let private write folder name kind =
        let path = Path.Combine(folder, ModelZoo.FileName(name, kind))
        let bytes = ModelZoo.Bytes(name, kind)
        AtomicFile.Write(path, (fun stream -> stream.Write(ReadOnlySpan bytes)))
        Output.line $"{path}: {bytes.Length:N0} bytes"

    /// <summary>Writes the packed file of a network, and its checkpoint if the zoo has it.</summary>
    let export (args: Arguments) =
        let name = (ZooFile.card args.Operands.Head).Name
        let folder = (Directory.CreateDirectory(args.Get Options.Files.file)).FullName

        for kind in Enum.GetValues<ZooFileKind>() do
            if ModelZoo.Has(name, kind) then
                write folder name kind
