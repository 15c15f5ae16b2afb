/// Trainings that resume while a system call fails.
module NormFree.Tests.SystemCalls.ResumedTrainings

open System
open System.IO
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
open NormFree.Tests.Telemetry
open NormFree.Tests.Training.Support
open NormFree.Tests.SystemCalls.Operation

/// Two binary layers: every kind of file, and few calls.
let private net =
    let block key =
        [ Part.Binary(Parts.binary "conv" 3 1 8); Parts.norm "bn"; Parts.relu ]
        |> Blocks.residual key Shortcut.Identity

    [ Stem.resNet 8 CifarStem; block "layer1"; block "layer2"; Classifier.pooled ]
    |> Net.create "two-layers"
    |> Net.withClasses 10
    |> Net.withNorm NoNorm

let private plan telemetry folder =
    Pipeline.from (Synthetic.dataset 3L 20 10) |> Pipeline.into folder |> Pipeline.telemetry telemetry

let private train plan =
    plan
    |> Pipeline.train { quick with Epochs = 2; Batch = 10 } net
    |> Pipeline.binariseWeights { quick with Epochs = 1; Batch = 10 }
    |> Pipeline.finish
    |> ignore

/// Runs a training, with the exit code that the tool would have.
let private training telemetry folder =
    let warnings = ResizeArray()

    let onEvent event =
        match event with
        | Warning text -> warnings.Add text
        | _ -> ()

    let code, _, err =
        ConsoleCapture.run (fun () ->
            int (Outcome.guard (fun () -> plan telemetry folder |> Pipeline.onEvent onEvent |> train)))

    { Code = code; Err = err; Warnings = List.ofSeq warnings }

/// A run that was interrupted after its first epoch.
let private interruptedRun telemetry =
    lazy
        (let folder = Tool.scratch.File $"system calls interrupted {telemetry}"
         use source = new CancellationTokenSource()

         let onEvent event =
             match event with
             | EpochDone _ -> source.Cancel()
             | _ -> ()

         let plan = plan telemetry folder |> Pipeline.onEvent onEvent

         try
             train { plan with Options = { plan.Options with Cancellation = source.Token } }
         with :? OperationCanceledException ->
             ()

         folder)

let private everyStep = EverySteps 1
let private unsampled = interruptedRun Never
let private sampled = interruptedRun everyStep
let private interrupted telemetry = if telemetry = Never then unsampled else sampled

let private fingerprint folder = Fingerprint.ofRun (RunFolder.at folder)

/// The weights of a run's checkpoints and its log, without what the run records of its own course.
let private content folder =
    let run = RunFolder.at folder

    [ for path in [ run.Last 1; run.Best 1; run.Last 2; run.Best 2 ] do
          if File.Exists path then
              path.Substring folder.Length, fileBits path ],
    Json.write [ for record in (RunFolder.readRun run).Epochs -> { record with Seconds = 0.0 } ]

/// The run ended with the fingerprint of an undisturbed one. A best checkpoint that could not be read was rebuilt to the same bits, which the run
/// records.
let private expectSame (expected: string, weightsAndLog) folder place =
    if fingerprint folder <> expected then
        Expect.isNonEmpty (Checkpoint.readState ((RunFolder.at folder).Last 2)).Changes $"the fingerprint {place}"
        Expect.isTrue (content folder = weightsAndLog) $"weights and log {place}"

/// A run that resumes and ends.
let private resume name telemetry watched check =
    let interrupted = interrupted telemetry
    let training = training telemetry
    let prepare folder = copy interrupted.Value folder

    let expected =
        undisturbed prepare (training >> ignore) (fun folder -> fingerprint folder, content folder)

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
                expectSame expected.Value folder "after success"

            check folder ending
            // What the run left must be good enough to end like a run that nothing disturbed.
            Expect.equal (training folder).Code 0 "the exit code after resuming"
            expectSame expected.Value folder "after resuming"
            expectNoLeftovers folder "after resuming" }

/// All files of a run but those of its telemetry, which the operations below watch.
let private checkpoints = resume "checkpoint" Never id (fun _ _ -> ())

/// A training that ends whether or not its telemetry can be written, but never without a warning if some of it is missing.
let private recorded name watched read =
    let expected = undisturbed (fun folder -> copy sampled.Value folder) (training everyStep >> ignore) read

    resume name everyStep watched (fun folder ending ->
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

let operations = [ checkpoints; telemetry; events ]
