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
open System.Threading.Tasks
open NormFree.Training

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

/// Runs side by side, one processor each: for small networks that is faster than one run on all of them. Results are in the order of the items.
let sideBySide (items: 'a list) (run: 'a -> 'b) : 'b list =
    TorchSharp.torch.set_num_threads 1
    let results = Array.zeroCreate items.Length
    let options = ParallelOptions(MaxDegreeOfParallelism = Environment.ProcessorCount)
    let indexed = List.indexed items
    Parallel.ForEach(indexed, options, (fun (i, item) -> results[i] <- run item)) |> ignore
    List.ofArray results

/// What lies beside the repository, by its path from there.
let beside (path: string) = Path.GetFullPath(Path.Combine(root, "..", path))

/// A whole number above 0.
let (|Positive|_|) (text: string) =
    match Int32.TryParse text with
    | true, n when n > 0 -> Some n
    | _ -> None

/// The tool.
let tool = Path.Combine(root, "artifacts/normfree/normfree")

let private start program (arguments: string list) =
    Process.Start(ProcessStartInfo(program, arguments, RedirectStandardOutput = true, RedirectStandardError = true))

/// What a program prints; its failure ends the script.
let output program (arguments: string list) =
    use running = start program arguments
    let errors = running.StandardError.ReadToEndAsync()
    let text = running.StandardOutput.ReadToEnd()
    running.WaitForExit()

    if running.ExitCode <> 0 then
        eprintfn $"""{Path.GetFileName program} {String.Join(' ', arguments)} failed: {errors.Result}"""
        exit 1

    text

/// Whether a program is there and succeeds.
let succeeds program (arguments: string list) =
    try
        use running = start program arguments
        running.StandardError.ReadToEndAsync() |> ignore
        running.StandardOutput.ReadToEnd() |> ignore
        running.WaitForExit()
        running.ExitCode = 0
    with :? ComponentModel.Win32Exception ->
        false

/// What the tool has printed with --json.
let read text =
    match Json.readSnakeCase<'T> text with
    | Ok value -> value
    | Error why -> failwith $"{why}, in: {text}"

/// A Python that can run a script with PyTorch, or why there is none. Debian's Python has Debian's PyTorch, and need not be the first on the path.
let pythonFor (script: string) =
    let python =
        [ "python3"; "/usr/bin/python3" ]
        |> List.tryFind (fun python -> succeeds python [ "-c"; "import torch" ])

    match python with
    | _ when not (File.Exists script) -> Error "its script was not found; name it by --reference"
    | None -> Error "no Python with PyTorch is installed (Debian: python3-torch)"
    | Some python -> Ok python

/// Median (lowest–highest).
let spread digits values =
    let spread = Spread.Of values
    let show (value: float) = value.ToString $"F{digits}"
    $"{show spread.Median} ({show spread.Min}–{show spread.Max})"

/// Where and when something was measured, as one sentence.
let machine (environment: BenchEnvironment option) (started: DateTime) =
    match environment with
    | Some e ->
        let load =
            e.LoadAverage
            |> Option.map (fun load -> $", load {load} before the first run")
            |> Option.defaultValue ""

        $"{e.Processor}, {e.Processors} processors{load}; .NET {e.Dotnet}; NormFree {e.Version}; {started:``yyyy-MM-dd HH:mm``} UTC."
    | None -> ""

/// The command as anyone would type it: where files lie on this machine is nobody's business.
let command script (given: string list) =
    let shown (word: string) =
        if word.Contains '/' then Path.GetFileName word
        elif word.Contains ' ' then $"'{word}'"
        else word

    String.Join(' ', $"dotnet fsi experiments/{script}" :: List.map shown given)

/// Writes a text file, in whose folder there may be nothing yet.
let write (path: string) (text: string) =
    Directory.CreateDirectory(nonNull (Path.GetDirectoryName path)) |> ignore
    File.WriteAllText(path, text)

/// Trains with the tool; goes on with a run that was interrupted, and does not repeat one that is done.
let train (folder: string) (arguments: string list) =
    let again = File.Exists(Path.Combine(folder, "run.json"))
    let arguments = "train" :: (if again then [ "--resume" ] else arguments) @ [ "--out"; folder ]
    printfn $"""normfree {String.Join(' ', arguments)}"""
    use training = Process.Start(tool, arguments)
    training.WaitForExit()

    if training.ExitCode <> 0 then
        exit training.ExitCode
