namespace NormFree.Cli

open System
open System.IO
open NormFree.Formats
open NormFree.Formats.Safetensors

/// <summary>Files that options such as <c>--checkpoint</c>, <c>--teacher</c> and <c>--init</c> name.</summary>
[<RequireQualifiedAccess>]
module internal NetworkFile =

    /// The start of the metadata 'format' of checkpoints and packed files.
    let private ours = "normfree"

    let private isOurs (file: SafetensorsFile) =
        match file.Metadata.TryGetValue "format" with
        | true, format -> format.StartsWith(ours, StringComparison.Ordinal)
        | _ -> false

    /// <summary>Rejects a pipe and a file of another kind, and names the command that helps: files of PyTorch, plain safetensors, web pages and so on.</summary>
    /// <remarks>A file that does not exist is left to the code that opens it. Throws InvalidFileException.</remarks>
    let require (path: string) =
        if File.Exists path then
            PlainFile.RequireNoPipe(path, "It is read more than once: give a file")
            use file = SafetensorsFile.Open path

            if not (isOurs file) then
                raise (
                    InvalidFileException(
                        path,
                        "metadata",
                        "it has no format of NormFree: it holds tensors without a network, so it is not a NormFree checkpoint",
                        $"Import it first: normfree import --safetensors {Quoted.Argument path} --arch NAME --out CHECKPOINT"
                    )
                )
