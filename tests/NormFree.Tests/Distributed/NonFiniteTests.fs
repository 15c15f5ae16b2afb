/// Numbers of one rank that go wrong are answered by all ranks alike, as one process would.
module NormFree.Tests.Distributed.NonFiniteTests

open System
open Expecto
open NormFree.Distributed
open NormFree.Spec
open NormFree.Training
open NormFree.Tests.Data.Support
open NormFree.Tests.Distributed.Trainings
open NormFree.Tests.Training.Support
open TorchSharp

/// Behind so many steps: in the second epoch.
let private wrong = 7

let private around rule accumulate ranks =
    { Surroundings.Default with Ranks = ranks; Accumulate = accumulate; OnNonFinite = rule }

/// A training in which one rank's part of a batch is wrong, behind some steps.
let private stumbling rule accumulate norm folder guilty isWrong (ranks: IRanks) =
    let isWrong step = ranks.Rank = guilty && isWrong step
    run (around rule accumulate ranks) (Some(RunFolder.at folder)) (Some isWrong) torch.ScalarType.Float64 norm

let private troubles (outcome: Outcome) =
    outcome.Events
    |> List.choose (function
        | Unhealthy trouble -> Some trouble
        | _ -> None)

let private health (outcome: Outcome) =
    [ for record in outcome.History -> record.Health |> Option.map (fun health -> health.Skipped, health.RolledBack) ]

let private isSound (outcome: Outcome) = outcome.Tensors |> List.forall (snd >> Array.forall Double.IsFinite)

/// One process's outcome, which does not depend on how a batch is divided.
let private alone =
    Map
        [ for rule in [ Skip; Rollback ] do
              for norm in [ BnFree 0.2; BatchNorm ] do
                  (rule, norm),
                  lazy
                      (use folder = new TempFolder()
                       stumbling rule 1 norm folder.Path 0 ((=) wrong) OneRank.Instance) ]

let private goingOn =
    [ for rule in [ Skip; Rollback ] do
          for ranks, guilty, accumulate in [ 2, 1, 1; 3, 0, 1; 3, 2, 2 ] do
              for norm in [ BnFree 0.2; BatchNorm ] do
                  test
                      $"{rule}, {Words.norm norm}, {accumulate} parts each: rank {guilty} of {ranks} stumbles, and all go on as one would" {
                      use folder = new TempFolder()
                      let train = stumbling rule accumulate norm (folder.File "ranks") guilty ((=) wrong)
                      let found = ThreadRanks.run ranks train
                      let alone = alone[rule, norm].Value

                      for one in found do
                          Expect.equal one.Tensors found.Head.Tensors "all ranks have the same bits"
                          Expect.equal (troubles one) (troubles alone) "what is told"
                          Expect.equal (health one) (health alone) "what is logged"
                          Expect.isTrue (isSound one) "weights"

                      Expect.hasLength (troubles alone) 1 "troubles"

                      if norm <> BatchNorm then
                          let distance = distance found.Head.Tensors alone.Tensors
                          Expect.isLessThan distance 1e-12 $"distance {distance}"
                  } ]

let private reasons rule count guilty isWrong (folder: TempFolder) =
    ThreadRanks.run count (fun ranks ->
        message<TrainingException, _>(fun () ->
            stumbling rule 1 (BnFree 0.2) (folder.File $"{count}") guilty isWrong ranks))

let private ends =
    [ for rule, isWrong, what in
          [ Stop, (=) wrong, "at once"; Skip, (fun step -> step >= wrong), "after ten batches in a row" ] do
          test $"{rule}: {what} all ranks end with the reason that one process would give" {
              use folder = new TempFolder()
              let alone = (reasons rule 1 0 isWrong folder).Head
              contains [ "The loss is NaN"; "diverged" ] alone
              Expect.allEqual (reasons rule 3 1 isWrong folder) alone "reasons"
          }

      test "ranks that go back to different checkpoints end the job, and say so" {
          use folder = new TempFolder()
          // Rank 1 sees the checkpoints of another training.
          let path rank = folder.File $"{rank}"
          let other = Some(RunFolder.at (path 1))
          run (around Rollback 1 OneRank.Instance) other None torch.ScalarType.Float64 (BnFree 0.2) |> ignore

          let found =
              ThreadRanks.run 2 (fun ranks ->
                  message<TrainingException, _>(fun () ->
                      stumbling Rollback 1 (BnFree 0.2) (path ranks.Rank) 0 ((=) wrong) ranks))

          Expect.allEqual found found.Head "reasons"
          contains [ "rank 1 on thread and rank 0 on thread"; "weights"; "different checkpoints" ] found.Head
      } ]

let tests = testList "numbers that are not finite" (goingOn @ ends)
