namespace NormFree.Experiments

open System
open System.IO
open System.Runtime.InteropServices
open System.Threading
open NormFree.Data
open NormFree.Formats
open NormFree.Runs
open NormFree.Training

/// <summary>An expected failure of an experiment; the message is for the user.</summary>
type ExperimentException(message: string) =
    inherit Exception(message)

/// <summary>An experiment script and its command line, <c>dotnet fsi experiments/NAME.fsx DATA [OPTIONS]</c>.</summary>
type Script =
    {
        /// Without <c>.fsx</c>; also the name of the sweep and of its page.
        Name: string
        /// The repository's root: the parent of the script's folder.
        Root: string
        /// The full path of DATA.
        Data: string
        Budget: Budget
        /// The command line for the page: without folders of this machine and without <c>--out</c>.
        Command: string
    }

    /// <summary>Where the script's page goes.</summary>
    member script.Page = script.Budget.Page |> Option.defaultValue $"experiments/results/{script.Name}.md"

/// <summary>What experiment scripts are made of.</summary>
/// <example><code>
/// Script.run fsi.CommandLineArgs Budget.cifar (fun script ->
///     Norms.variants (Budget.reactNet18 script.Budget) (Budget.recipe script.Budget)
///     |> Script.sweep script "norms" (Script.images Cifar10 script)
///     |> Script.publish script (Script.page script "Three norms" "Which norm is best?"))
/// </code></example>
[<RequireQualifiedAccess>]
module Script =

    /// The words that decide the results: without `--out FILE.md`.
    let rec private withoutOut words =
        match words with
        | "--out" :: _ :: rest -> withoutOut rest
        | word :: rest -> word :: withoutOut rest
        | [] -> []

    /// <summary>Reads a script's command line, which starts with the script's path. The error is the usage and what is wrong.</summary>
    let parse (defaults: Budget) (commandLine: string list) : Result<Script, string> =
        let path, arguments = Path.GetFullPath commandLine.Head, commandLine.Tail
        let command = $"dotnet fsi experiments/{Path.GetFileName path}"

        let options =
            match arguments with
            | data :: rest when not (data.StartsWith '-') -> ScriptOptions.parse Budget.options defaults rest
            | _ -> Error "DATA is missing: the path of the data set"

        match options with
        | Error problem -> Error(ScriptOptions.usage (command + " DATA") Budget.options + "\n" + problem)
        | Ok budget ->
            Ok
                { Name = string (Path.GetFileNameWithoutExtension path)
                  Root = Path.GetFullPath(Path.Combine(string (Path.GetDirectoryName path), ".."))
                  Data = Path.GetFullPath arguments.Head
                  Budget = budget
                  Command = command + " " + ScriptOptions.display (withoutOut arguments) }

    /// <summary>Runs a script in the repository's root. Exits with 2 and the usage if the command line is wrong, and with 1 and a message
    /// if the experiment fails or is interrupted.</summary>
    let run (commandLine: string[]) (defaults: Budget) (body: Script -> unit) =
        let fail (message: string) (code: int) =
            Console.Error.WriteLine message
            exit code

        match parse defaults (List.ofArray commandLine) with
        | Error usage -> fail usage 2
        | Ok script ->
            Environment.CurrentDirectory <- script.Root

            try
                body script
            with
            | :? OperationCanceledException -> fail "Interrupted. Run the same command to resume." 1
            | :? ExperimentException
            | :? DataException
            | :? TrainingException
            | :? InvalidFileException as error -> fail error.Message 1

    /// <summary>The script's images, within its budget.</summary>
    /// <remarks>Throws ExperimentException with everything that is wrong with them.</remarks>
    let images kind (script: Script) : Dataset =
        let options =
            { Catalogue.defaults with
                Size = Some script.Budget.Size
                Limit = Some script.Budget.Limit
                TestLimit = Some script.Budget.TestLimit }

        match Catalogue.load kind (Some script.Data) options with
        | Ok dataset -> dataset
        | Error errors -> raise (ExperimentException(errors |> List.map string |> String.concat "\n"))

    /// The first Ctrl-C or SIGTERM cancels the work, which keeps every step. The second ends the process.
    let private untilInterrupted (work: CancellationToken -> 'a) =
        use interruption = new CancellationTokenSource()

        let interrupt (context: PosixSignalContext) =
            context.Cancel <- not interruption.IsCancellationRequested
            interruption.Cancel()

        use _ = PosixSignalRegistration.Create(PosixSignal.SIGINT, interrupt)
        use _ = PosixSignalRegistration.Create(PosixSignal.SIGTERM, interrupt)
        work interruption.Token

    let private sweepWith shareStage1 (script: Script) name images (variants: Variant list) : ExperimentResult list =
        let budget = script.Budget

        let experiment =
            { Name = name
              Images = images
              Seeds = [ for seed in 1 .. budget.Seeds -> int64 seed ]
              Variants = variants
              ShareStage1 = shareStage1
              Execution = Budget.execution budget
              Device = budget.Device }

        untilInterrupted (fun cancellation ->
            experiment
            |> Sweep.run
                { SweepSettings.Default with
                    // The free memory of a GPU is unknown.
                    MaxParallel = if budget.Device = Cpu then SweepSettings.Default.MaxParallel else 1
                    OnEvent = SweepText.lines
                    Cancellation = cancellation })

    /// <summary>Trains every variant with every seed of the budget, and prints progress. Finished runs are read, not trained again.</summary>
    let sweep (script: Script) name images variants = sweepWith false script name images variants

    /// <summary>The same, and variants that differ only in stage 2 share one stage 1.</summary>
    let sweepShared (script: Script) name images variants = sweepWith true script name images variants

    let private requireAll (results: ExperimentResult list) =
        let failures =
            [ for result in results do
                  match result.Log with
                  | Ok _ -> ()
                  | Error reason -> $"failed: {result.Run.Label}: {reason}" ]

        if not failures.IsEmpty then
            raise (ExperimentException(String.concat "\n" failures))

    /// <summary>The last stage-1 checkpoint of an experiment's first run: a teacher for distillation.</summary>
    /// <remarks>Throws ExperimentException if a run failed.</remarks>
    let teacher (results: ExperimentResult list) =
        requireAll results
        results.Head.Run.Folder.Last 1

    /// <summary>A page with this title and question, and curves over the epochs.</summary>
    let page (script: Script) title question : ExperimentPage =
        { Title = title
          Question = question
          Command = script.Command
          Notes = []
          Comparisons = []
          Plot = ExperimentPage.overEpochs }

    /// <summary>Writes the page, collects all pages in <c>docs/results.md</c> unless <c>--out</c> names another place, and prints the page's
    /// comparisons.</summary>
    /// <remarks>Throws ExperimentException after that if a run failed.</remarks>
    let publish (script: Script) (page: ExperimentPage) (results: ExperimentResult list) =
        let page = { page with Notes = page.Notes @ [ "Every class has the same number of images." ] }
        ExperimentPage.write script.Page page results

        if script.Budget.Page.IsNone then
            ResultsPage.write script.Root

        for pair in page.Comparisons do
            Console.WriteLine(ExperimentPage.comparison results pair)

        Console.WriteLine $"Written: {script.Page}"
        requireAll results
