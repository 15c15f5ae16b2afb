/// Trainings that end at a time limit, or are restarted after a rank died.
module NormFree.Tests.Distributed.RestartTests

open System
open System.IO
open System.Threading
open Expecto
open NormFree.Cli
open NormFree.Distributed
open NormFree.Formats.Safetensors
open NormFree.Networks
open NormFree.Runs
open NormFree.Spec
open NormFree.Training
open NormFree.Data
open NormFree.Tests
open NormFree.Tests.Cli
open NormFree.Tests.Data.Support
open NormFree.Tests.Training.Support

let private limits: Supervision.Limits = { Restarts = 3; MinRanks = 2 }

/// A rank of four was killed after a checkpoint.
let private killed: Supervision.Attempt = { Ranks = 4; Code = 137; HasRun = true; Checkpoint = "one" }

let private failed: Supervision.Attempt = { killed with Code = 1 }

let private ends (decision: Supervision.Decision) =
    match decision with
    | Supervision.End(Some reason) -> reason
    | Supervision.End None -> ""
    | Supervision.Restart ranks -> failtest $"restarted with {ranks} ranks"

let private decisions =
    [ for what, earlier, attempt, hosts, ranks in
          [ "a killed rank leaves the others", [], killed, None, 3
            "the fewest ranks remain", [ killed; killed ], { killed with Ranks = 2 }, None, 2
            "hosts that do not answer are left out", [], killed, Some 2, 2
            "a rank fewer is enough if all hosts answer", [], killed, Some 4, 3
            "a reason of its own may pass", [], failed, None, 3
            "a reason of its own after another checkpoint", [ failed ], { failed with Checkpoint = "two" }, None, 3
            "a killed rank after the same checkpoint", [ killed ], killed, None, 3
            "a rank that is killed before the run started", [], { killed with HasRun = false }, None, 3 ] do
          test $"restarts: {what}" {
              let hosts = hosts |> Option.map (fun count () -> count)

              Expect.equal
                  (Supervision.decide limits earlier attempt hosts)
                  (Supervision.Restart ranks)
                  "the next attempt"
          }

      for what, earlier, attempt, hosts, reason in
          [ "success", [], { killed with Code = 0 }, None, ""
            "wrong usage", [], { killed with Code = 2 }, None, ""
            "the time limit", [], { killed with Code = 75 }, None, ""
            "no restart is left", [ killed; killed; killed ], killed, None, "failed after 3 of 3 restarts"
            "a failure before the start", [], { failed with HasRun = false }, None, "before it started"
            "the same failure twice", [ failed ], failed, None, "twice after the same checkpoint"
            "too few hosts", [], killed, Some 1, "1 hosts answer" ] do
          test $"ends: {what}" {
              let hosts = hosts |> Option.map (fun count () -> count)
              Expect.stringContains (Supervision.decide limits earlier attempt hosts |> ends) reason "the reason"
          } ]

/// How the stage ends of each of three ranks, whose options these functions change.
let private stopped (change: int -> RunOptions -> RunOptions) =
    ThreadRanks.run 3 (fun ranks ->
        use stop = new StageStop(change ranks.Rank { RunOptions.Default with Ranks = ranks })
        let before = stop.IsRequested
        stop.Synchronise()
        before, stop.IsRequested, stop.IsByDeadline)

let private past = Some(DateTimeOffset.UtcNow - TimeSpan.FromSeconds 1.0)

let private cancelled = CancellationToken true

let private stops =
    [ for what, change, expected in
          [ "nobody asks", (fun _ options -> options), (false, false, false)
            "one rank's deadline has passed",
            (fun rank options -> if rank = 1 then { options with Deadline = past } else options),
            (false, true, true)
            "one rank is cancelled, and all deadlines have passed",
            (fun rank options ->
                { options with
                    Deadline = past
                    Cancellation = (if rank = 2 then cancelled else CancellationToken.None) }),
            (false, true, false) ] do
          test $"all ranks stop together, for one reason: {what}" {
              Expect.equal (stopped change) (List.replicate 3 expected) "before, after, by the deadline"
          }

      test "a deadline in the distant future is none yet" {
          use stop = new StageStop({ RunOptions.Default with Deadline = Some DateTimeOffset.MaxValue })
          stop.Synchronise()
          Expect.isFalse stop.IsRequested "requested"
      }

      test "a training whose deadline has passed throws DeadlineException after writing a checkpoint, and resumes" {
          use folder = new TempFolder()
          let plan = Pipeline.from (Synthetic.dataset 3L 20 10) |> Pipeline.into folder.Path
          let late = { plan with Options = { plan.Options with Deadline = past } }

          Expect.throwsT<DeadlineException>
              (fun () -> late |> Pipeline.train quick (tiny NoNorm) |> ignore)
              "the deadline"

          Expect.equal (Checkpoint.readState ((RunFolder.at folder.Path).Last 1)).TrainingCursor.Epoch 0 "epochs"
          let run = plan |> Pipeline.train quick (tiny NoNorm) |> Pipeline.finish
          Expect.hasLength run.Epochs quick.Epochs "epochs"
      } ]

let private folders =
    [ test "ranks with different run folders are refused, and the error names both" {
          use folder = new TempFolder()
          let path rank = folder.File $"{rank}"

          let start (ranks: IRanks) =
              let plan = Pipeline.from (Synthetic.dataset 3L 20 10)
              let plan = { plan with Options = { plan.Options with Ranks = ranks } }

              messageOf<TrainingException, _>(fun () ->
                  PlanChecks.requireSameFolder { plan with Folder = Some { Path = path (min ranks.Rank 1) } })

          for text in ThreadRanks.run 3 start do
              contains [ path 0; path 1; "rank 0 on"; "rank 1 on"; "the same --out" ] text

          let same (ranks: IRanks) =
              let plan = Pipeline.from (Synthetic.dataset 3L 20 10)
              let plan = { plan with Options = { plan.Options with Ranks = ranks } }
              PlanChecks.requireSameFolder { plan with Folder = Some { Path = path 0 } }

          ThreadRanks.run 3 same |> ignore
      } ]

/// A run of both stages with frequent checkpoints.
let private arguments limit folder =
    [ "train"; "--dataset"; "synthetic"; "--limit"; string limit; "--test-limit"; "20" ]
    @ [ "--batch"; "10"; "--epochs"; "2"; "--width"; "0.34"; "--threads"; "1" ]
    @ [ "--checkpoint-every"; "0.005"; "--json-log"; "--out"; folder ]

let private fingerprint folder = Fingerprint.ofRun { Path = folder }

/// Images of a run that takes longer than a second.
let private images = 150

/// The fingerprint of an undisturbed run.
let private undisturbed =
    lazy
        (use folder = new TempFolder()
         let run = folder.File "whole"
         Tool.run (arguments images run) |> Tool.succeeds |> ignore
         fingerprint run)

let private timeLimits =
    [ test "runs that end at their time limit are resumed to the fingerprint of an undisturbed one" {
          use folder = new TempFolder()
          let run = folder.File "limited"

          // Each attempt gets a second more, so that the run ends on any machine.
          let rec attempt seconds limited =
              let limit = [ $"--time-limit=00:00:{seconds:D2}" ]
              let resumes = RunFolder.holdsRun { Path = run }
              let start = if resumes then [ "train"; "--resume"; "--out"; run ] else arguments images run
              let result = Tool.runProcess (start @ limit)

              if result.Code = 75 then
                  result |> Tool.fails 75 [ "the time limit is reached. All steps are kept"; $"--resume --out {run}" ]
                  attempt (seconds + 1) (limited + 1)
              else
                  Tool.succeeds result |> ignore
                  limited

          Expect.isGreaterThan (attempt 1 0) 0 "attempts that reached the limit"
          Expect.equal (fingerprint run) undisturbed.Value "fingerprints"
      }

      for time in [ "0:00"; "12"; "1:60"; "-1:00"; "1:00:60" ] do
          test $"--time-limit {time} is wrong usage" {
              Tool.run [ "train"; $"--time-limit={time}" ]
              |> Tool.fails 2 [ "--time-limit takes hours and minutes" ]
          } ]

/// Waits until the run has a checkpoint that is newer than a time.
let private awaitCheckpoint folder (after: DateTime) =
    let isThere () =
        [ 1; 2 ]
        |> List.exists (fun stage ->
            match RunFolder.checkpoints { Path = folder } stage with
            | (_, path) :: _ -> File.GetLastWriteTimeUtc path > after
            | [] -> false)

    let limit = DateTime.UtcNow.AddMinutes 5.0

    while not (isThere ()) do
        if DateTime.UtcNow > limit then
            failtest "no checkpoint was written"

        Thread.Sleep 20

let private restarts =
    [ test "a training with --restarts that is killed resumes by itself, to the same fingerprint" {
          use folder = new TempFolder()
          let run = folder.File "killed"
          use job = Mpirun.supervise (arguments images run @ [ "--restarts"; "2" ])
          awaitCheckpoint run DateTime.MinValue
          Mpirun.signal "KILL" (Mpirun.childOf job)
          Expect.equal (job.AwaitEnd 120.0) 0 $"exit code: {job.Err}"
          contains [ "exit code 137: signal 9"; "Restart 1 of 2 with 1 rank." ] job.Err
          Expect.equal (fingerprint run) undisturbed.Value "fingerprints"
      }

      test "SIGTERM to a training with --restarts saves the step, and it is not restarted" {
          use folder = new TempFolder()
          let run = folder.File "run"
          use job = Mpirun.supervise (arguments 4000 run @ [ "--restarts"; "2" ])
          awaitCheckpoint run DateTime.MinValue
          Mpirun.signal "TERM" job.Id
          Expect.equal (job.AwaitEnd 60.0) 1 "exit code"
          contains [ "interrupted. All steps are kept" ] job.Err
          Expect.isFalse (job.Err.Contains "Restart") "restarted"
      }

      for words, problem in
          [ [ "--restarts"; "1" ], "need --out FOLDER"
            [ "--ranks"; "2"; "--min-ranks"; "3"; "--out"; "x" ], "more than the 2 ranks"
            [ "--ranks"; "3"; "--hosts"; "a,b"; "--out"; "x" ], "as many --hosts"
            [ "--hosts"; "a,,b"; "--out"; "x" ], "names separated by commas" ] do
          test $"""wrong usage: {String.concat " " words}""" { Tool.run ("train" :: words) |> Tool.fails 2 [ problem ] } ]

let quick =
    testSequencedGroup "restarts"
    <| testList "Restart" (decisions @ stops @ folders @ timeLimits @ restarts)

/// The weights of a run's last checkpoint.
let private weights folder =
    use file = SafetensorsFile.Open((RunFolder.at folder).Last 2)

    [| for entry in file.Tensors do
           yield! file.ReadAsDouble entry |]

/// The distance between the weights of two runs, relative to their size.
let private distance (a: float[]) (b: float[]) =
    let norm (values: float[]) = values |> Seq.sumBy (fun x -> x * x) |> sqrt
    norm (Array.map2 (-) a b) / norm a

let private epochs folder = (RunFolder.readRun { Path = folder }).Epochs

let soak =
    testList
        "restart"
        [ test "a rank of four is killed three times: the run ends as an undisturbed one, but for rounding" {
              use folder = new TempFolder()
              let run, whole, other = folder.File "killed", folder.File "whole", folder.File "other"
              let random = Random 1
              Mpirun.run 2 (Mpirun.tool :: arguments 1000 other) |> ignore
              use job = Mpirun.supervise (arguments 1000 run @ [ "--ranks"; "4"; "--restarts"; "3" ])

              for ranks in [ 4; 3; 2 ] do
                  // Steps after the restart, then a checkpoint with them.
                  if ranks < 4 then
                      job.AwaitError $"Restart {4 - ranks} of 3 with {ranks} ranks"

                  awaitCheckpoint run DateTime.UtcNow
                  Mpirun.signal "KILL" (Mpirun.processOf job (random.Next ranks))

              Expect.equal (job.AwaitEnd 900.0) 0 $"exit code: {job.Err}"
              contains [ "Restart 3 of 3 with 1 rank." ] job.Err
              Expect.isEmpty (Directory.GetFiles(run, "*.tmp")) "temporary files"

              Tool.run (arguments 1000 whole) |> Tool.succeeds |> ignore

              for found, expected in List.zip (epochs run) (epochs whole) do
                  Expect.equal found.Train.Images expected.Train.Images "images"
                  Expect.floatClose { absolute = 0.05; relative = 0.0 } found.Train.Loss expected.Train.Loss "loss"

              let rounding, found = distance (weights whole) (weights other), distance (weights whole) (weights run)
              printfn $"distance of weights: {found:G3} after three kills, {rounding:G3} between 1 and 2 ranks"
              Expect.isLessThan found (4.0 * rounding) "distance from the undisturbed run"
          } ]
