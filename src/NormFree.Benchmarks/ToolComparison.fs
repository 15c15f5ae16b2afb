namespace NormFree.Benchmarks

open System
open System.IO
open NormFree.Kernels.Simd
open NormFree.Reporting
open NormFree.Torch.Native

/// <summary>The programs of a comparison, and how often each is run.</summary>
type ComparisonPlan =
    {
        /// The path of the normfree tool.
        Tool: string
        /// A PyTorch script that trains or runs the paper's networks and prints JSON.
        Reference: string option
        /// Each gets tables of its own. Programs that cannot be limited to a set are measured as they are.
        Instructions: InstructionSet list
        Runs: int
        /// Selects configurations whose title contains this text.
        Only: string
        /// The command that reproduces the page.
        Command: string
    }

/// Measurements of several programs, each run in a process of its own, and the parts that their pages share.
module internal ToolComparison =

    /// Python and the reference script, or why the reference is not measured.
    let reference (plan: ComparisonPlan) : Result<string * string, string> =
        match plan.Reference with
        | None -> Error "no script was given with --reference"
        | Some script when not (File.Exists script) -> Error $"the script {Path.GetFileName script} was not found"
        | Some script ->
            match ExternalProgram.pythonWithTorch [ "python3"; "/usr/bin/python3" ] with
            | Some python -> Ok(python, script)
            | None -> Error "no Python with PyTorch was found (Debian: python3-torch)"

    /// The sets of this processor that are compared: those of vectors, the widest one first.
    let instructions =
        InstructionSets.Supported
        |> Seq.filter ((<>) InstructionSet.Scalar)
        |> Seq.sortDescending
        |> List.ofSeq

    let instructionName (set: InstructionSet) = (string set).ToLowerInvariant()

    /// The environment variables that limit PyTorch to a set.
    let limits (set: InstructionSet) = [ for KeyValue(name, value) in TorchNative.Limits set -> name, value ]

    /// The reference's names of NormFree's networks.
    let referenceArch arch = if arch = "reactnet-a" then "A" else "18"

    /// Runs every candidate once per round. A candidate returns None for configurations that it does not support.
    let alternate rounds (progress: int -> string -> 'm -> unit) (candidates: (string * (unit -> 'm option)) list) =
        [ for round in 1..rounds do
              for name, measure in candidates do
                  match measure () with
                  | Some measured ->
                      progress round name measured
                      name, measured
                  | None -> () ]
        |> List.groupBy fst
        |> List.map (fun (name, measured) -> name, List.map snd measured)

    /// Ratios within each round, which a temporarily slow machine does not affect.
    let ratios (value: 'm -> float) (own: 'm list) (basis: 'm list) = List.map2 (fun a b -> value a / value b) own basis

    /// The machine, the build and the time of the measurement.
    let machine (environment: BenchEnvironment) (started: DateTime) =
        let load =
            environment.LoadAverage
            |> Option.map (fun load -> $", load {load} before the first run")
            |> Option.defaultValue ""

        $"{environment.Processor}, up to {environment.Instructions}, {environment.Processors} processors{load}; .NET {environment.Dotnet}; NormFree {environment.Version}; \
          {started:``yyyy-MM-dd HH:mm``} UTC."

    let referenceNote (reference: Result<'a, string>) description =
        match reference with
        | Ok _ -> $"The reference is {description}."
        | Error reason -> $"The reference was not measured: {reason}."

    let codeBlock command = "```sh\n" + command + "\n```"

    let table columns rows = Report.markdownTable { Columns = columns; Rows = rows }

    let page (paragraphs: string list) = String.Join("\n\n", paragraphs) + "\n"
