/// Comparisons of whole programs, which write pages into experiments/results. Their options follow their name.
module NormFree.Microbenchmarks.Comparisons

open System
open System.IO
open System.Text
open NormFree.Benchmarks
open NormFree.Experiments
open NormFree.Formats
open NormFree.Kernels.Simd
open NormFree.Runs

type private Settings =
    { Reference: string option
      Instructions: InstructionSet option
      Runs: int
      Steps: int
      Seconds: int
      Only: string }

let private defaults =
    { Reference = None; Instructions = None; Runs = 5; Steps = 5; Seconds = 2; Only = "" }

let private reference =
    ScriptOptions.file "--reference" (fun (s: Settings) file -> { s with Reference = Some file })

let private runs = ScriptOptions.count "--runs" (fun (s: Settings) n -> { s with Runs = n })
let private steps = ScriptOptions.count "--steps" (fun (s: Settings) n -> { s with Steps = n })
let private seconds = ScriptOptions.count "--seconds" (fun (s: Settings) n -> { s with Seconds = n })

let private instructions =
    let names = [ for set in ToolComparison.instructions -> ToolComparison.instructionName set, set ]
    ScriptOptions.choice "--instructions" names (fun (s: Settings) set -> { s with Instructions = Some set })

let private only = ScriptOptions.text "--only" (fun (s: Settings) text -> { s with Only = text })

let private invocation = "dotnet run --project tests/NormFree.Microbenchmarks -c Release --"
let private results = "experiments/results"
let private trainingPage = "bench-train.md"

/// A mode of this program: its name, what it does, its options, its page, and what writes the page.
type private Mode =
    {
        Name: string
        Summary: string
        Options: ScriptOption<Settings> list
        Page: string
        /// Titles that --only must match, if the mode has any.
        Titles: string list
        Write: ComparisonPlan -> Settings -> string
    }

let private modes =
    [ { Name = "compare-training"
        Summary = "training steps: both engines, both precisions, and PyTorch with --reference"
        Options = [ reference; instructions; runs; steps; only ]
        Page = trainingPage
        Titles = TrainingComparison.titles
        Write = fun plan s -> TrainingComparison.page plan s.Steps }
      { Name = "compare-inference"
        Summary = "inference: packed, libtorch, ONNX Runtime, and PyTorch with --reference"
        Options = [ reference; instructions; runs; seconds; only ]
        Page = "bench-infer.md"
        Titles = InferenceComparison.titles
        Write = fun plan s -> InferenceComparison.page plan s.Seconds }
      { Name = "compare-threads"
        Summary = "one thread and two, idle and with a busy core"
        Options = [ runs; only ]
        Page = "bench-threads.md"
        Titles = ThreadComparison.titles
        Write = fun plan _ -> ThreadComparison.page plan }
      { Name = "predict-scaling"
        Summary = "many nodes, predicted from compare-training's page"
        Options = []
        Page = "scale.md"
        Titles = []
        Write =
          fun plan _ -> File.ReadAllText(Path.Combine(results, trainingPage)) |> ScalingPrediction.page plan.Command }
      { Name = "measure-scaling"
        Summary = "one and two processes on this machine, against the prediction"
        Options = [ runs; steps ]
        Page = "scale-local.md"
        Titles = []
        Write = fun plan s -> LocalScaling.page plan s.Steps } ]

/// Each mode's name and description.
let summaries = [ for mode in modes -> mode.Name, mode.Summary ]

let private checkTitles (mode: Mode) (settings: Settings) =
    if mode.Titles.IsEmpty || mode.Titles |> List.exists _.Contains(settings.Only) then
        Ok settings
    else
        Error $"""--only: no title contains '{settings.Only}'; there are: {String.Join("; ", mode.Titles)}"""

let private write (mode: Mode) arguments (settings: Settings) =
    let plan =
        { Tool = Path.GetFullPath "artifacts/normfree/normfree"
          Reference = settings.Reference
          Instructions =
            settings.Instructions
            |> Option.map List.singleton
            |> Option.defaultValue ToolComparison.instructions
          Runs = settings.Runs
          Only = settings.Only
          Command = $"{invocation} {ScriptOptions.display (mode.Name :: arguments)}" }

    let path = Path.Combine(results, mode.Page)
    let bytes = UTF8Encoding(false).GetBytes(mode.Write plan settings)
    AtomicFile.Write(path, fun stream -> stream.Write(ReadOnlySpan bytes))
    printfn $"Written: {path}"

/// Runs a mode in the repository's root. Returns the exit code, or None if no mode has this name.
let tryRun (name: string) (arguments: string list) : int option =
    modes
    |> List.tryFind (fun mode -> mode.Name = name)
    |> Option.map (fun mode ->
        match ScriptOptions.parse mode.Options defaults arguments |> Result.bind (checkTitles mode) with
        | Error problem ->
            let usage = ScriptOptions.usage $"{invocation} {name}" mode.Options
            eprintfn $"{usage}\n{problem}"
            2
        | Ok settings ->
            try
                write mode arguments settings
                0
            with
            | :? TrainingException
            | :? IOException as error ->
                eprintfn $"{error.Message}"
                1)
