/// If one rank's numbers become NaN or infinite, all ranks react as a single process would.
module NormFree.Tests.Distributed.NonFiniteTests

open System
open Expecto
open NormFree.Distributed
open NormFree.Spec
open NormFree.Runs
open NormFree.Networks
open NormFree.Training
open NormFree.Tests
open NormFree.Tests.Data.Support
open NormFree.Tests.Distributed.Trainings
open NormFree.Tests.Training.Support
open TorchSharp

/// The step at which a rank fails, in the second epoch.
let private failingStep = 7

let private runOptions rule accumulate ranks =
    { RunOptions.Default with Ranks = ranks; Accumulate = accumulate; OnNonFinite = rule }

/// A training in which one rank's shard produces NaN at some steps.
let private failing rule accumulate norm folder failingRank isFailing (ranks: IRanks) =
    let isFailing step = ranks.Rank = failingRank && isFailing step
    run (runOptions rule accumulate ranks) (Some(RunFolder.at folder)) (Some isFailing) torch.ScalarType.Float64 norm

let private reports (outcome: Outcome) =
    outcome.Events
    |> List.choose (function
        | NumericalIssueFound report -> Some report
        | _ -> None)

let private health (outcome: Outcome) =
    [ for record in outcome.History -> record.Health |> Option.map (fun health -> health.Skipped, health.RolledBack) ]

let private isSound (outcome: Outcome) = outcome.Tensors |> List.forall (snd >> Array.forall Double.IsFinite)

/// One process's outcome, which does not depend on how a batch is partitioned.
let private alone =
    Map
        [ for rule in [ Skip; Rollback ] do
              for norm in [ BnFree 0.2; BatchNorm ] do
                  (rule, norm),
                  lazy
                      (use folder = new TempFolder()
                       failing rule 1 norm folder.Path 0 ((=) failingStep) OneRank.Instance) ]

/// Ranks, which of them fails, and micro-batches of each.
let private continues partitions =
    [ for rule in [ Skip; Rollback ] do
          for ranks, failingRank, accumulate in partitions do
              for norm in [ BnFree 0.2; BatchNorm ] do
                  test
                      $"{rule}, {Names.norm norm}, {accumulate} micro-batches each: rank {failingRank} of {ranks} fails, and all continue like a single process" {
                      use folder = new TempFolder()
                      let train = failing rule accumulate norm (folder.File "ranks") failingRank ((=) failingStep)
                      let found = ThreadRanks.run ranks train
                      let alone = alone[rule, norm].Value

                      for one in found do
                          Expect.equal one.Tensors found.Head.Tensors "all ranks have the same bits"
                          Expect.equal (reports one) (reports alone) "reported events"
                          Expect.equal (health one) (health alone) "log"
                          Expect.isTrue (isSound one) "weights"

                      Expect.hasLength (reports alone) 1 "reports"

                      if norm <> BatchNorm then
                          let distance = distance found.Head.Tensors alone.Tensors
                          Expect.isLessThan distance 1e-12 $"distance {distance}"
                  } ]

let private reasons rule count failingRank isFailing (folder: TempFolder) =
    ThreadRanks.run count (fun ranks ->
        messageOf<TrainingException, _>(fun () ->
            failing rule 1 (BnFree 0.2) (folder.File $"{count}") failingRank isFailing ranks))

let private ends =
    [ for rule, isFailing, what in
          [ Stop, (=) failingStep, "at once"
            Skip, (fun step -> step >= failingStep), "after ten batches in a row" ] do
          test $"{rule}: {what} all ranks fail with the error of a single process" {
              use folder = new TempFolder()
              let alone = (reasons rule 1 0 isFailing folder).Head
              contains [ "The loss is NaN"; "diverged" ] alone
              Expect.allEqual (reasons rule 3 1 isFailing folder) alone "reasons"
          }

      test "ranks that roll back to different checkpoints fail with an error that says so" {
          use folder = new TempFolder()
          // Rank 1 reads the checkpoints of another training.
          let path rank = folder.File $"{rank}"
          let other = Some(RunFolder.at (path 1))

          run (runOptions Rollback 1 OneRank.Instance) other None torch.ScalarType.Float64 (BnFree 0.2)
          |> ignore

          let found =
              ThreadRanks.run 2 (fun ranks ->
                  messageOf<TrainingException, _>(fun () ->
                      failing Rollback 1 (BnFree 0.2) (path ranks.Rank) 0 ((=) failingStep) ranks))

          Expect.allEqual found found.Head "reasons"
          contains [ "rank 1 on thread and rank 0 on thread"; "weights"; "different checkpoints" ] found.Head
      } ]

let tests = testList "NaN and infinity" (continues [ 2, 1, 1; 3, 2, 2 ] @ ends)

let soak = testList "NaN and infinity of the first rank" (continues [ 3, 0, 1 ])
