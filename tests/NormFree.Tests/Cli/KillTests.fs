/// The published tool, killed at random times and resumed.
module NormFree.Tests.Cli.KillTests

open System
open System.Diagnostics
open System.IO
open Expecto
open NormFree.Runs
open NormFree.Networks
open NormFree.Training
open NormFree.Tests.Cli
open NormFree.Tests.Data.Support

/// A run of both stages with frequent checkpoints, Adam, clipping, warm-up, augmentation and held-out images.
let private arguments engine limit epochs =
    [ "train"
      "--dataset"
      "synthetic"
      "--limit"
      string limit
      "--test-limit"
      "40"
      "--batch"
      "10" ]
    @ [ "--epochs"
        string epochs
        "--width"
        "0.34"
        "--threads"
        "1"
        "--held-out"
        "0.1"
        "--warm-up"
        "1" ]
    @ [ "--engine"; engine; "--checkpoint-every"; "0.005"; "--json-log"; "--out" ]

/// Kills the tool with SIGKILL after some time. Returns whether it was still running.
let private killed (arguments: string list) (time: TimeSpan) =
    use tool = Tool.start arguments
    tool.OutputDataReceived.Add ignore
    tool.ErrorDataReceived.Add ignore
    tool.BeginOutputReadLine()
    tool.BeginErrorReadLine()

    if tool.WaitForExit time then
        Expect.equal tool.ExitCode 0 "the exit code of a run that was not killed"
        false
    else
        tool.Kill()
        tool.WaitForExit()
        true

/// The arguments that start a run, or resume it if it exists.
let private next begin' folder =
    if RunFolder.holdsRun { Path = folder } then
        [ "train"; "--resume"; "--json-log"; "--out"; folder ]
    else
        begin' @ [ folder ]

let private leftovers folder =
    Directory.GetFiles(folder, "*.tmp") |> Array.append (Directory.GetFiles(folder, "run.lock"))

/// Kills a run that many times at random, then lets it end. Its fingerprint must equal that of an undisturbed run.
let private survives engine limit epochs kills seed =
    let random = Random(seed: int)
    let begin' = arguments engine limit epochs
    let whole, broken = Tool.scratch.File $"{engine} whole", Tool.scratch.File $"{engine} killed"
    let clock = Stopwatch.StartNew()
    Tool.runProcess (begin' @ [ whole ]) |> Tool.succeeds |> ignore
    // Long enough for some progress each time, short enough that every kill finds a running process.
    let most = TimeSpan.FromSeconds(0.5 + 3.0 * clock.Elapsed.TotalSeconds / float kills)
    let mutable done' = 0
    let mutable ended = false

    while done' < kills && not ended do
        if killed (next begin' broken) (TimeSpan.FromSeconds 0.3 + random.NextDouble() * most) then
            done' <- done' + 1
        else
            ended <- true

    Tool.runProcess (next begin' broken) |> Tool.succeeds |> ignore
    Expect.isEmpty (leftovers broken) "files left half-written"
    Expect.equal (Fingerprint.ofRun { Path = broken }) (Fingerprint.ofRun { Path = whole }) $"after {done'} kills"
    done'

let private engines = [ "fused"; "composite" ]

let quick =
    testSequencedGroup "killed tools"
    <| testList
        "Killed"
        [ test "a run that is killed twice ends with the fingerprint of one that was not" {
              Expect.equal (survives "fused" 200 2 2 1) 2 "kills"
          }

          test "a second signal ends the process at once" {
              let folder = Tool.scratch.File "impatient"

              use tool =
                  Tool.start (
                      [ "train"; "--arch"; "reactnet-18"; "--limit"; "1000"; "--batch"; "1000"; "--test-limit"; "10" ]
                      @ [ "--json-log"; "--out"; folder ]
                  )

              // A single step of 1000 images takes many seconds.
              tool.StandardOutput.ReadLine() |> ignore
              Threading.Thread.Sleep 2000

              for _ in 1..2 do
                  use kill = Process.Start("kill", [ "-TERM"; string tool.Id ])
                  kill.WaitForExit()
                  Threading.Thread.Sleep 100

              // The kernel frees gigabytes first, which takes seconds on a busy machine.
              Expect.isTrue (tool.WaitForExit 15000) "it has ended"
              Expect.equal tool.ExitCode 143 "exit code: 128 and SIGTERM"
          }

          test "a second process in the folder of a run is rejected with the first one's number" {
              let folder = Tool.scratch.File "shared"
              let begin' = arguments "fused" 2000 20
              use first = Tool.start (begin' @ [ folder ])

              while not (isNull (first.StandardOutput.ReadLine())) && not (RunFolder.holdsRun { Path = folder }) do
                  ()

              Tool.run [ "train"; "--resume"; "--out"; folder ]
              |> Tool.fails 1 [ $"process {first.Id} on"; "is working on this run" ]

              first.Kill()
              first.WaitForExit()
          } ]

let soak =
    testList
        "killed"
        [ for engine in engines do
              test $"{engine}: a run that is killed 30 times ends with the fingerprint of one that was not" {
                  let mutable kills = 0
                  let mutable round = 0

                  // A run may end before all kills; then another run gets the rest.
                  while kills < 30 do
                      round <- round + 1
                      kills <- kills + survives $"{engine}" 400 3 (30 - kills) round
                      Directory.Delete(Tool.scratch.File $"{engine} whole", true)
                      Directory.Delete(Tool.scratch.File $"{engine} killed", true)

                  printfn $"{engine}: {kills} kills in {round} runs, the same bits"
              }

          test "an interrupted run leaves no temporary files and can be resumed" {
              use folder = new TempFolder()
              let run = folder.File "run"

              Tool.terminateAt _.Contains("StepDone") (arguments "fused" 400 3 @ [ run ])
              |> Tool.fails 1 [ "All steps are kept" ]

              Expect.isEmpty (leftovers run) "files"
              let resumed = Tool.run (next [] run) |> Tool.succeeds
              Expect.stringContains resumed.Out "\"Resumed\"" "it resumed"
          } ]
