/// What writes files, and what must hold whichever of its system calls fails.
module NormFree.Tests.SystemCalls.Operations

open System
open System.IO
open System.Text
open System.Threading
open Expecto
open NormFree.Cli
open NormFree.Data
open NormFree.Networks
open NormFree.Runs
open NormFree.Spec
open NormFree.Training
open NormFree.Tests
open NormFree.Tests.Cli
open NormFree.Tests.Data
open NormFree.Tests.Data.Support
open NormFree.Tests.Telemetry
open NormFree.Tests.Training.Support

/// How an operation ended: the exit code of the tool, what it printed on the error stream, and its warnings.
type Ending = { Code: int; Err: string; Warnings: string list }

type Operation =
    {
        Name: string
        /// Makes the folder as it is before the operation.
        Prepare: string -> unit
        /// The part of the folder whose calls fail.
        Watched: string -> string
        Run: string -> Ending
        /// Fails unless the folder is as it must be after this end.
        Check: string -> Ending -> unit
    }

let private failed = 1

/// Runs the tool in this process.
let private tool (arguments: string list) =
    let code, _, err = ConsoleCapture.run (fun () -> NormFree.Cli.Program.main (List.toArray arguments))
    let isWarning (line: string) = line.StartsWith "normfree: warning: "

    let warnings, others =
        err.Split('\n', StringSplitOptions.RemoveEmptyEntries) |> Array.partition isWarning

    { Code = code; Err = String.concat "\n" others; Warnings = List.ofArray warnings }

let private copy (source: string) (target: string) =
    for folder in Directory.GetDirectories(source, "*", SearchOption.AllDirectories) do
        Directory.CreateDirectory(Path.Combine(target, Path.GetRelativePath(source, folder))) |> ignore

    for file in Directory.GetFiles(source, "*", SearchOption.AllDirectories) do
        File.Copy(file, Path.Combine(target, Path.GetRelativePath(source, file)))

/// The files below a folder, by relative path.
let private filesOf (folder: string) =
    [ for path in Directory.GetFiles(folder, "*", SearchOption.AllDirectories) -> Path.GetRelativePath(folder, path) ]
    |> List.sort

let private expectNoLeftovers (folder: string) place =
    let isTemporary (name: string) = name.EndsWith ".tmp"
    Expect.isEmpty (filesOf folder |> List.filter isTemporary) $"temporary files {place}"

/// The operation succeeded, perhaps with warnings, or failed with one clear message. All of them name a file.
let private expectClear (folder: string) ending =
    for text in ending.Warnings do
        Expect.stringContains text folder "a warning names the file"

    if ending.Code = 0 then
        Expect.equal ending.Err "" "the error stream after success"
    else
        Expect.equal ending.Code failed $"exit code: {ending.Err}"
        Expect.stringStarts ending.Err "normfree: " "who complains"
        Expect.stringContains ending.Err folder "the message names the file"

        for sign in [ "internal error"; "   at "; "Exception" ] do
            Expect.isFalse (ending.Err.Contains sign) $"'{sign}' in: {ending.Err}"

/// A file that the operation replaces.
let private old = "old"B

/// The target has its old content after a failure and its new one after success; or the new one after a failure of the flush that follows.
let private expectWhole (isNew: byte[] -> bool) (path: string) ending =
    let found = File.ReadAllBytes path

    if ending.Code = 0 then
        Expect.isTrue (isNew found) $"the new file after success: {found.Length} bytes"
    elif found <> old then
        Expect.isTrue (isNew found) $"the old or the new file, not {found.Length} other bytes: {ending.Err}"
        Expect.stringContains ending.Err "may not survive a power failure" "why a new file is a failure"

/// What an operation produces if nothing fails.
let private undisturbed (prepare: string -> unit) (run: string -> unit) (read: string -> 'a) =
    lazy
        (use folder = new TempFolder()
         prepare folder.Path
         run folder.Path
         read folder.Path)

/// The checkpoint of a small trained network with binary weights, and its run.
let private trained =
    lazy
        (let folder = Tool.scratch.File "system calls run"

         Pipeline.from (Synthetic.dataset 3L 20 10)
         |> Pipeline.into folder
         |> Pipeline.train { quick with Epochs = 1 } (tiny (BnFree 0.2))
         |> Pipeline.binariseWeights { quick with Epochs = 1 }
         |> Pipeline.finish
         |> ignore

         RunFolder.at folder)

let private export format =
    let source folder = Path.Combine(folder, "in.safetensors")
    let target folder = Path.Combine(folder, "out")

    let run folder = tool [ "export"; "--checkpoint"; source folder; "--format"; format; "--out"; target folder ]

    let prepare (folder: string) =
        File.Copy(trained.Value.Last 2, source folder)
        File.WriteAllBytes(target folder, old)

    let expected = undisturbed prepare (run >> ignore) (target >> File.ReadAllBytes)

    { Name = $"export {format}"
      Prepare =
        fun folder ->
            expected.Force() |> ignore
            prepare folder
      Watched = id
      Run = run
      Check =
        fun folder ending ->
            expectClear folder ending
            expectNoLeftovers folder "after the end"
            expectWhole ((=) expected.Value) (target folder) ending }

/// A report. A part of the run that cannot be read is left out of it, with the reason.
let private report (extension: string) =
    let page folder = Path.Combine(folder, "page" + extension)

    let prepare folder =
        copy trained.Value.Path folder
        File.WriteAllBytes(page folder, old)

    let run folder = tool [ "report"; folder; "--no-speed"; "--out"; page folder ]

    // Reports name the run by its folder.
    let neutral (folder: string) (bytes: byte[]) =
        (Encoding.UTF8.GetString bytes).Replace(folder, "FOLDER").Replace(string (Path.GetFileName folder), "NAME")


    let expected =
        undisturbed prepare (run >> ignore) (fun folder -> neutral folder (File.ReadAllBytes(page folder)))

    { Name = $"report {extension}"
      Prepare =
        fun folder ->
            expected.Force() |> ignore
            prepare folder
      Watched = id
      Run = run
      Check =
        fun folder ending ->
            expectClear folder ending
            expectNoLeftovers folder "after the end"

            let reasons (text: string) = text.Split("FOLDER").Length
            let lastOf (text: string) = text.TrimEnd().Split('\n') |> Array.last

            let isPage bytes =
                let text = neutral folder bytes

                text = expected.Value
                || reasons text > reasons expected.Value && lastOf text = lastOf expected.Value

            expectWhole isPage (page folder) ending }

/// A plan that writes telemetry for every step.
let private plan folder =
    Pipeline.from (Synthetic.dataset 3L 20 10)
    |> Pipeline.into folder
    |> Pipeline.telemetry (EverySteps 1)

let private train plan =
    plan
    |> Pipeline.train { quick with Epochs = 2; Batch = 10 } (tiny NoNorm)
    |> Pipeline.binariseWeights { quick with Epochs = 1; Batch = 10 }
    |> Pipeline.finish
    |> ignore

/// Runs a training, with the exit code that the tool would have.
let private training folder =
    let warnings = ResizeArray()

    let onEvent event =
        match event with
        | Warning text -> warnings.Add text
        | _ -> ()

    let code, _, err =
        ConsoleCapture.run (fun () -> int (Outcome.guard (fun () -> plan folder |> Pipeline.onEvent onEvent |> train)))

    { Code = code; Err = err; Warnings = List.ofSeq warnings }

/// A run that was interrupted after its first epoch.
let private interrupted =
    lazy
        (let folder = Tool.scratch.File "system calls interrupted"
         use source = new CancellationTokenSource()

         let onEvent event =
             match event with
             | EpochDone _ -> source.Cancel()
             | _ -> ()

         let plan = plan folder |> Pipeline.onEvent onEvent

         try
             train { plan with Options = { plan.Options with Cancellation = source.Token } }
         with :? OperationCanceledException ->
             ()

         folder)

let private fingerprint folder = Fingerprint.ofRun (RunFolder.at folder)

/// A run that resumes and ends.
let private resume name watched check =
    let prepare folder = copy interrupted.Value folder
    let expected = undisturbed prepare (training >> ignore) fingerprint

    { Name = name
      Prepare =
        fun folder ->
            expected.Force() |> ignore
            prepare folder
      Watched = watched
      Run = training
      Check =
        fun folder ending ->
            expectClear folder ending

            if ending.Code = 0 then
                Expect.equal (fingerprint folder) expected.Value "the fingerprint after success"

            check folder ending
            // What the run left must be good enough to end like a run that nothing disturbed.
            Expect.equal (training folder).Code 0 "the exit code after resuming"
            Expect.equal (fingerprint folder) expected.Value "the fingerprint after resuming"
            expectNoLeftovers folder "after resuming" }

let private checkpoints = resume "checkpoint" id (fun _ _ -> ())

/// A training that ends whether or not its telemetry can be written, but never without a warning if some of it is missing.
let private recorded name watched read =
    let expected = undisturbed (fun folder -> copy interrupted.Value folder) (training >> ignore) read

    resume name watched (fun folder ending ->
        Expect.equal ending.Code 0 $"exit code: {ending.Err}"

        if ending.Warnings.IsEmpty then
            Expect.equal (read folder) expected.Value "what is recorded without a warning")

let private telemetry =
    let content folder =
        let telemetry = Telemetry.read (RunFolder.at folder)
        // As text, because NaN differs from itself.
        [ string telemetry.Layers.Length
          string telemetry.Channels.Length
          sprintf "%A" telemetry.Transition ]

    recorded "telemetry" (fun folder -> (RunFolder.at folder).Telemetry) content

let private events =
    let content folder =
        [ for stage, values in EventFiles.read (RunFolder.at folder) do
              for value in values do
                  stage, value.Tag, value.Step ]
        |> List.distinct
        |> List.sort

    recorded "TensorBoard" (fun folder -> (RunFolder.at folder).TensorBoard) content

/// A download that begins, or resumes a partial file.
let private download (part: byte[]) =
    let server = lazy (new DownloadServer.Server(DownloadServer.ranged))
    let target folder = Path.Combine(folder, "set.tar.gz")
    let run folder = DownloadServer.download (DownloadServer.requestInto folder server.Value.Address)

    { Name = $"download from byte {part.Length}"
      Prepare =
        fun folder ->
            if part.Length > 0 then
                File.WriteAllBytes(target folder + ".part", part)
      Watched = id
      Run =
        fun folder ->
            match run folder with
            | Ok _ -> { Code = 0; Err = ""; Warnings = [] }
            | Error error -> { Code = failed; Err = $"normfree: {error}"; Warnings = [] }
      Check =
        fun folder ending ->
            expectClear folder ending

            if File.Exists(target folder) then
                Expect.equal (File.ReadAllBytes(target folder)) DownloadServer.content "the bytes under the final name"
            else
                Expect.equal ending.Code failed "a download without its file"

            Expect.isOk (run folder) "the next download"
            Expect.equal (filesOf folder) [ "set.tar.gz" ] "files after the next download" }

/// Operations without libtorch.
let light = [ download [||]; download DownloadServer.content[..199_999] ]

let all =
    light
    @ [ for format in [ "packed"; "safetensors"; "pytorch"; "onnx" ] -> export format ]
    @ [ report ".html"; report ".md"; checkpoints; telemetry; events ]

/// No operation makes as many calls of one kind.
let private most = 3000

/// Makes the n-th call of each kind fail for n = 1, 2, 3 … until the operation has no n-th one. Returns the number of calls by kind, and what
/// went wrong.
let exercise error lasts (operation: Operation) =
    let wrong = ResizeArray()

    let attempt call n =
        use folder = new TempFolder()
        operation.Prepare folder.Path
        let ending = ref { Code = -1; Err = ""; Warnings = [] }

        let run () =
            try
                ending.Value <- operation.Run folder.Path
            with problem ->
                ending.Value <- { ending.Value with Err = string problem }

        let isHit = Injection.failing (operation.Watched folder.Path) call n error lasts run

        try
            operation.Check folder.Path ending.Value

            if not isHit then
                Expect.equal ending.Value.Code 0 $"exit code without a failure: {ending.Value.Err}"
        with problem ->
            wrong.Add $"{operation.Name}, {call} number {n}: {problem.Message}"

        isHit

    let counts =
        [ for call in Enum.GetValues<Injection.Call>() ->
              call, Seq.initInfinite ((+) 1) |> Seq.takeWhile (attempt call) |> Seq.truncate most |> Seq.length ]

    counts, List.ofSeq wrong
