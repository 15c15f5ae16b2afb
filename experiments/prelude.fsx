// Every experiment begins with  #load "prelude.fsx"  and is run by  dotnet fsi experiments/NAME.fsx  after a build.
#r "../artifacts/normfree/TorchSharp.dll"
#r "../artifacts/normfree/NormFree.Formats.dll"
#r "../artifacts/normfree/NormFree.Spec.dll"
#r "../artifacts/normfree/NormFree.Torch.dll"
#r "../artifacts/normfree/NormFree.Data.dll"
#r "../artifacts/normfree/NormFree.Training.dll"
#r "../artifacts/normfree/NormFree.Reporting.dll"

NormFree.Torch.Native.TorchNative.Ensure()

open System.Diagnostics
open System.IO

/// Runs the tool with these arguments; goes on with a run that was interrupted, and does not repeat one that is done.
let normfree (arguments: string) =
    let words = arguments.Split ' '
    let out = words[1 + System.Array.IndexOf(words, "--out")]
    let again = File.Exists(Path.Combine(out, "run.json"))
    let arguments = if again then $"train --resume --out {out}" else arguments
    printfn $"normfree {arguments}"
    use tool = Process.Start(Path.Combine(__SOURCE_DIRECTORY__, "../artifacts/normfree/normfree"), arguments)
    tool.WaitForExit()
    if tool.ExitCode <> 0 then exit tool.ExitCode
