// Every experiment begins with  #load "prelude.fsx"  and is run by  dotnet fsi experiments/NAME.fsx  after a build.
#r "../artifacts/normfree/TorchSharp.dll"
#r "../artifacts/normfree/NormFree.Formats.dll"
#r "../artifacts/normfree/NormFree.Archives.dll"
#r "../artifacts/normfree/NormFree.Spec.dll"
#r "../artifacts/normfree/NormFree.Torch.dll"
#r "../artifacts/normfree/NormFree.Data.dll"
#r "../artifacts/normfree/NormFree.Runs.dll"
#r "../artifacts/normfree/NormFree.Networks.dll"
#r "../artifacts/normfree/NormFree.Packing.dll"
#r "../artifacts/normfree/NormFree.Training.dll"
#r "../artifacts/normfree/NormFree.Reporting.dll"
#r "../artifacts/normfree/NormFree.Experiments.dll"
#r "../artifacts/normfree/NormFree.Benchmarks.dll"

open System
open System.Diagnostics
open System.IO
open System.Runtime.InteropServices
open System.Threading
open System.Threading.Tasks
open NormFree.Data
open NormFree.Reporting
open NormFree.Spec
open NormFree.Runs
open NormFree.Networks
open NormFree.Training
open NormFree.Experiments
open NormFree.Benchmarks

NormFree.Torch.Native.TorchNative.Ensure()

let private root = Path.GetFullPath(Path.Combine(__SOURCE_DIRECTORY__, ".."))

/// One setting of a script: its name on the command line, what its value is called in the usage, and what a text changes if it is such a value.
type Setting<'s> = { Name: string; Value: string; Set: string -> 's -> 's option }

/// A whole number above 0.
let (|Positive|_|) (text: string) =
    match Int32.TryParse text with
    | true, n when n > 0 -> Some n
    | _ -> None

let private setting name value (parse: string -> 'a option) set =
    { Name = name; Value = value; Set = fun text s -> parse text |> Option.map (set s) }

let count name set = setting name "N" (|Positive|_|) set
let text name set = setting name "WORDS" Some set
let path name set = setting name "FILE" (Path.GetFullPath >> Some) set

/// A file of Markdown; the plot beside it has its name.
let markdown name set =
    let parse (file: string) = if file.EndsWith ".md" then Some(Path.GetFullPath file) else None
    setting name "FILE.md" parse set

/// One of those words.
let choice name (values: (string * 'v) list) set =
    let parse word = values |> List.tryFind (fst >> (=) word) |> Option.map snd
    setting name (String.Join('|', List.map fst values)) parse set

let number name set =
    let parse (text: string) =
        match Double.TryParse(text, Globalization.CultureInfo.InvariantCulture) with
        | true, value when value > 0.0 -> Some value
        | _ -> None

    setting name "X" parse set

/// The script's settings as its command line changes them, and its first word where it needs one: the path of its data, as seen from where it was
/// called. The script ends with its usage where the words make no sense.
let private parse script needs (known: Setting<'s> list) defaults words =
    let usage () =
        let options = known |> List.map (fun s -> $"[{s.Name} {s.Value}]")
        eprintfn $"""usage: dotnet fsi experiments/{String.Join(' ', script :: needs @ options)}"""
        exit 2

    let rec change settings words =
        match words with
        | [] -> settings
        | name :: value :: rest ->
            match known |> List.tryFind (fun s -> s.Name = name) |> Option.bind (fun s -> s.Set value settings) with
            | Some settings -> change settings rest
            | None -> usage ()
        | _ -> usage ()

    match needs, words with
    | [], _ -> "", change defaults words
    | _, (data: string) :: rest when not (data.StartsWith '-') -> Path.GetFullPath data, change defaults rest
    | _ -> usage ()

/// The words behind the script's name.
let given = List.tail (List.ofArray fsi.CommandLineArgs)

let settings script known defaults = snd (parse script [] known defaults given)
let dataAndSettings script known defaults = parse script [ "DATA" ] known defaults given

/// Paths in experiments start at the repository's root.
let atRoot () = Environment.CurrentDirectory <- root

/// Runs side by side on one thread each: for small networks that is faster than one run on all processors. With up to twice as many runs as
/// processors, all of them start at once, so that no processor is idle while the last one runs. Results are in the order of the items.
let sideBySide (items: 'a list) (run: 'a -> 'b) : 'b list =
    let results = Array.zeroCreate items.Length
    let options = ParallelOptions(MaxDegreeOfParallelism = 2 * Environment.ProcessorCount)
    let indexed = List.indexed items

    let runOne (i, item) =
        // A setting of each thread.
        TorchSharp.torch.set_num_threads 1
        results[i] <- run item

    Parallel.ForEach(indexed, options, runOne) |> ignore
    List.ofArray results

/// What lies beside the repository, by its path from there.
let beside (path: string) = Path.GetFullPath(Path.Combine(root, "..", path))

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
        if word.Contains '/' then
            Path.GetFileName(Path.TrimEndingDirectorySeparator word)
        elif word.Contains ' ' then
            $"'{word}'"
        else
            word

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

/// What an experiment takes, and where its page goes; a script's own are what two processors do in about an hour.
type Budget =
    {
        Epochs: int
        Seeds: int
        /// Training images, balanced over the classes.
        Limit: int
        TestLimit: int
        /// Share of the network's channels.
        Width: float
        Batch: int
        /// Pixels along a side of the network's input.
        Size: int
        LearningRate: float
        /// On a GPU the composite engine computes: the fused one is for the CPU.
        Device: Device
        /// None is experiments/results/SCRIPT.md.
        Page: string option
    }

/// DATA, and the budget as the command line changes it.
let budget script defaults =
    dataAndSettings
        script
        [ count "--epochs" (fun (b: Budget) n -> { b with Epochs = n })
          count "--seeds" (fun b n -> { b with Seeds = n })
          count "--limit" (fun b n -> { b with Limit = n })
          count "--test-limit" (fun b n -> { b with TestLimit = n })
          number "--width" (fun b x -> { b with Width = x })
          count "--batch" (fun b n -> { b with Batch = n })
          count "--size" (fun b n -> { b with Size = n })
          number "--lr" (fun b x -> { b with LearningRate = x })
          choice "--device" [ "cpu", Cpu; "cuda", Cuda ] (fun b device -> { b with Device = device })
          markdown "--out" (fun b file -> { b with Page = Some file }) ]
        defaults

/// For ReActNet-18 on images of 32×32.
let small =
    { Epochs = 10
      Seeds = 2
      Limit = 10000
      TestLimit = 2000
      Width = 0.5
      Batch = 64
      Size = 32
      LearningRate = 1e-3
      Device = Cpu
      Page = None }

/// Images of a budget; what is wrong with them ends the script.
let images kind data (budget: Budget) =
    let options =
        { Catalogue.defaults with
            Size = Some budget.Size
            Limit = Some budget.Limit
            TestLimit = Some budget.TestLimit }

    match Catalogue.load kind (Some data) options with
    | Ok dataset -> dataset
    | Error errors ->
        errors |> List.iter (eprintfn "%O")
        exit 1

/// ReActNet-18 for images of 32×32, in the width of a budget.
let cifar18 (budget: Budget) =
    ReActNet.reactNet18 { Size.Full with Width = budget.Width } CifarStem |> Net.withClasses 10

/// The corrected recipe in a budget.
let recipe (budget: Budget) =
    { Recipe.corrected with
        Epochs = budget.Epochs
        Batch = budget.Batch
        LearningRate = budget.LearningRate
        Schedule = Cosine }

let experiment name images (budget: Budget) variants =
    { Name = name
      Images = images
      Seeds = [ for seed in 1 .. budget.Seeds -> int64 seed ]
      Variants = variants
      Execution = if budget.Device = Cpu then Execution.Default else Execution.Portable
      Device = budget.Device }

/// Trains what is left of an experiment. The first Ctrl-C or SIGTERM keeps everything and ends the script, the second ends it at once.
let sweep (experiment: Experiment) =
    use interruption = new CancellationTokenSource()

    let interrupt (context: PosixSignalContext) =
        context.Cancel <- not interruption.IsCancellationRequested
        interruption.Cancel()

    use _ = PosixSignalRegistration.Create(PosixSignal.SIGINT, interrupt)
    use _ = PosixSignalRegistration.Create(PosixSignal.SIGTERM, interrupt)

    try
        experiment
        |> Sweep.run
            { SweepSettings.Default with
                // Nobody knows what memory a GPU has to spare.
                SideBySide = if experiment.Device = Cpu then SweepSettings.Default.SideBySide else 1
                Watch = SweepText.lines
                Cancellation = interruption.Token }
    with :? OperationCanceledException ->
        eprintfn "Interrupted; all steps are kept. The same command goes on."
        exit 1

/// Names what failed; then the script has failed, too.
let private requireAll (results: ExperimentResult list) =
    let failed =
        results
        |> List.choose (fun result ->
            match result.Log with
            | Ok _ -> None
            | Error reason -> Some $"{result.Run.Label}: {reason}")

    failed |> List.iter (eprintfn "failed: %s")

    if not failed.IsEmpty then
        exit 1

/// The checkpoint of an experiment's only run, as a teacher.
let checkpoint (results: ExperimentResult list) =
    requireAll results
    results.Head.Run.Folder.Last 1

/// Names that decide the results: where the page goes does not.
let rec private deciding words =
    match words with
    | "--out" :: _ :: rest -> deciding rest
    | word :: rest -> word :: deciding rest
    | [] -> []

/// A page about an experiment, with its curves.
let page title question : ExperimentPage =
    { Title = title
      Question = question
      Command = command (Path.GetFileName fsi.CommandLineArgs[0]) (deciding given)
      Notes = []
      Compared = []
      Plot = ExperimentPage.overEpochs }

/// Writes an experiment's page.
let conclude (budget: Budget) (page: ExperimentPage) (results: ExperimentResult list) =
    let page = { page with Notes = page.Notes @ [ "Of every class there are as many images." ] }
    let script = Path.GetFileNameWithoutExtension fsi.CommandLineArgs[0]
    let path = budget.Page |> Option.defaultValue $"experiments/results/{script}.md"
    ExperimentPage.write path page results
    page.Compared |> List.iter (ExperimentPage.comparison results >> printfn "%s")
    printfn $"Written: {path}"
    requireAll results
