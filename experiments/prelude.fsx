// Every experiment begins with  #load "prelude.fsx"  and is run by  dotnet fsi experiments/NAME.fsx  after a build.
#r "../artifacts/normfree/TorchSharp.dll"
#r "../artifacts/normfree/NormFree.Formats.dll"
#r "../artifacts/normfree/NormFree.Spec.dll"
#r "../artifacts/normfree/NormFree.Torch.dll"
#r "../artifacts/normfree/NormFree.Data.dll"
#r "../artifacts/normfree/NormFree.Training.dll"
#r "../artifacts/normfree/NormFree.Reporting.dll"

open System
open System.Diagnostics
open System.IO

NormFree.Torch.Native.TorchNative.Ensure()

let private root = Path.GetFullPath(Path.Combine(__SOURCE_DIRECTORY__, ".."))

/// The path that the script was given, as seen from where it was called; the script ends with its usage where there is none.
let givenPath usage =
    match fsi.CommandLineArgs with
    | [| _; path |] -> Path.GetFullPath path
    | _ ->
        eprintfn $"usage: dotnet fsi {usage}"
        exit 2

/// Paths in experiments start at the repository's root.
let atRoot () = Environment.CurrentDirectory <- root

/// Trains with the tool; goes on with a run that was interrupted, and does not repeat one that is done.
let train (folder: string) (arguments: string list) =
    let again = File.Exists(Path.Combine(folder, "run.json"))
    let arguments = "train" :: (if again then [ "--resume" ] else arguments) @ [ "--out"; folder ]
    printfn $"""normfree {String.Join(' ', arguments)}"""
    use tool = Process.Start(Path.Combine(root, "artifacts/normfree/normfree"), arguments)
    tool.WaitForExit()

    if tool.ExitCode <> 0 then
        exit tool.ExitCode
