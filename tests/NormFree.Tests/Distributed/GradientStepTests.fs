/// A batch divided among ranks and micro-batches gives the same step as the whole batch, except with batch norm.
module NormFree.Tests.Distributed.GradientStepTests

open Expecto
open NormFree.Data
open NormFree.Distributed
open NormFree.Spec
open NormFree.Torch.Distributed
open NormFree.Torch.Training
open NormFree.Runs
open NormFree.Networks
open NormFree.Training
open NormFree.Tests
open NormFree.Tests.Distributed.Trainings
open NormFree.Tests.Golden
open NormFree.Tests.Training.Support
open TorchSharp

let private whole = lazy (Map [ for norm in norms -> norm, inFloat64 1 norm OneRank.Instance ])

/// The log without times, with rounded losses.
let private rounded (history: EpochRecord list) =
    let round (a: Accuracy) = { a with Loss = System.Math.Round(a.Loss, 5) }

    [ for record in timeless history ->
          { record with Train = round record.Train; Test = round record.Test; Health = None } ]

let private skipped (outcome: Outcome) =
    outcome.Events
    |> List.choose (function
        | ImageSkipped image -> Some(image.Index, image.Total)
        | _ -> None)

/// Ranks, and micro-batches of each.
let private partitioned partitions =
    [ for ranks, accumulate in partitions do
          for norm in [ NoNorm; BnFree 0.2 ] do
              test $"{Names.norm norm}, float64: {ranks} ranks with {accumulate} micro-batches each match one process" {
                  let found = ThreadRanks.run ranks (inFloat64 accumulate norm)
                  let expected = whole.Value[norm]

                  for one in found do
                      Expect.equal one.Tensors found.Head.Tensors "all ranks have the same bits"
                      Expect.equal (rounded one.History) (rounded expected.History) "log"

                      Expect.equal
                          (skipped one)
                          (skipped expected)
                          "all ranks report unreadable images with the same running total"

                  let distance = distance found.Head.Tensors expected.Tensors
                  Expect.isLessThan distance 1e-12 $"distance {distance}"
              } ]

let private trainings =
    [ yield! partitioned [ 1, 3; 3, 1; 2, 3 ]

      test "batch norm, float64: a divided batch differs, because each micro-batch is normalised by its own statistics" {
          let found = ThreadRanks.run 2 (inFloat64 1 BatchNorm)
          let distance = distance found.Head.Tensors whole.Value[BatchNorm].Tensors
          Expect.isGreaterThan distance 1e-3 $"distance {distance}"
          Expect.equal found[1].Tensors found[0].Tensors "all ranks have the same tensors, including running statistics"
      }

      test "the comparison covers 24 steps, without the batch that nobody could read" {
          let steps = whole.Value[NoNorm].Events |> List.filter isStep
          Expect.equal steps.Length 24 "steps"
      } ]

/// Wraps ranks as a job of the given size, and observes every gradient message (values and count) when it is sent.
type private ObservedRanks(ranks: IRanks, size: int, onMessage: nativeint -> int -> unit) =
    interface IRanks with
        member _.Size = size
        member _.Rank = ranks.Rank
        member _.NameOf(rank: int) = ranks.NameOf rank

        member _.BeginSum(values, sums, count, number) =
            if number = NumberType.Float32 then
                onMessage values count

            ranks.BeginSum(values, sums, count, number)

        member _.TryFinalBarrier(status, timeout: System.TimeSpan) = ranks.TryFinalBarrier(status, timeout)
        member _.Leave() = ranks.Leave()
        member _.Abort(code: int) = ranks.Abort code

/// One gradient step of a rank. <c>FirstGradients</c> are the first parameter's gradients when each message was sent.
type private StepResult =
    { Found: GradientResult
      Gradients: (string * float[]) list
      Messages: int
      FirstGradients: float[] list }

let private descended dtype norm accumulate bytes (images: torch.Tensor, labels: torch.Tensor) (ranks: IRanks) =
    use _ = torch.NewDisposeScope()

    use network =
        Network.create dtype Rule.Corrected 1L (Net.withBinarise ActivationsAndWeights (tiny norm))

    let firstGradients = ResizeArray()

    let observed =
        ObservedRanks(
            ranks,
            ranks.Size,
            fun _ _ -> firstGradients.Add(Agreement.values (Agreement.gradient (snd network.Parameters.Head)))
        )

    let loss _ logits labels = Losses.CrossEntropy(logits, labels)
    use descent = new GradientStep(observed, accumulate, network, loss, bytes)

    let first, count = Shard.part (int (images.size 0)) ranks.Size ranks.Rank
    let part (tensor: torch.Tensor) = tensor.narrow (0L, int64 first, int64 count)

    { Found = descent.Run(part images, part labels, ranks.Rank, [])
      Gradients = gradients network
      Messages = descent.Messages
      FirstGradients = List.ofSeq firstGradients }

let private oneMessage = GradientBuckets.DefaultBytes
let private manyMessages = 4096L

let private descents =
    [ for norm in [ NoNorm; BnFree 0.2 ] do
          test
              $"{Names.norm norm}, fused engine: gradients of unequal shards, one of them empty, equal those of the batch" {
              use _ = torch.NewDisposeScope()
              let batch = images torch.ScalarType.Float32 "descent" 4, labels 4
              let descended (ranks: IRanks) = descended torch.ScalarType.Float32 norm 1 oneMessage batch ranks
              let expected = (descended OneRank.Instance).Gradients

              for ranks in [ 2; 5 ] do
                  for one in ThreadRanks.run ranks descended do
                      Expect.equal one.Found.Images 4 "images of all ranks"
                      Expect.equal one.Found.Unreadable (Seq.sum [ 0 .. ranks - 1 ]) "unreadable images of all ranks"
                      Expect.equal one.Found.Sums.Seen 4 "sums of all ranks"
                      Expect.isLessThan (distance one.Gradients expected) 1e-5 $"{ranks} ranks"
          }

          for ranks, accumulate in [ 2, 1; 3, 1; 2, 2; 3, 2 ] do
              let partition = $"{ranks} ranks with {accumulate} micro-batches each"

              test $"{Names.norm norm}, float64, {partition}: many messages carry the batch's gradients" {
                  use _ = torch.NewDisposeScope()
                  let dtype = torch.ScalarType.Float64
                  let batch = images dtype "descent" 8, labels 8
                  let expected = (descended dtype norm 1 oneMessage batch OneRank.Instance).Gradients

                  for one in ThreadRanks.run ranks (descended dtype norm accumulate manyMessages batch) do
                      Expect.isGreaterThan one.Messages 4 "messages"
                      let distance = distance one.Gradients expected
                      Expect.isLessThan distance 1e-12 $"distance {distance}"
              }

              test
                  $"{Names.norm norm}, fused engine, {partition}: messages sent during the last backward pass change no bit" {
                  use _ = torch.NewDisposeScope()
                  let dtype = torch.ScalarType.Float32
                  let batch = images dtype "descent" 8, labels 8
                  let expected = ThreadRanks.run ranks (descended dtype norm accumulate oneMessage batch)
                  let found = ThreadRanks.run ranks (descended dtype norm accumulate manyMessages batch)

                  for one, expected in List.zip found expected do
                      Expect.equal (one.Messages > 4, expected.Messages) (true, 1) "messages"
                      Expect.hasLength one.FirstGradients one.Messages "messages sent"

                      Expect.notEqual
                          one.FirstGradients.Head
                          (List.last one.FirstGradients)
                          "the first gradient at the time"

                      Expect.equal one.Gradients expected.Gradients "gradients"
              } ]

let private buckets =
    [ for norm in norms do
          test $"{Names.norm norm}, fused engine: messages are sent during the backward pass, with complete gradients" {
              use _ = torch.NewDisposeScope()
              let images, labels = images torch.ScalarType.Float32 "descent" 4, labels 4

              use network =
                  Network.create
                      torch.ScalarType.Float32
                      Rule.Corrected
                      1L
                      (Net.withBinarise ActivationsAndWeights (tiny norm))

              let parameters = [| for _, tensor in network.Parameters -> tensor :> torch.Tensor |]
              let sent = ResizeArray<float32[]>()

              let onMessage (values: nativeint) count =
                  let copy = Array.zeroCreate<float32> count
                  System.Runtime.InteropServices.Marshal.Copy(values, copy, 0, count)
                  sent.Add copy

              let observed = ObservedRanks(OneRank.Instance, 2, onMessage)
              use buckets = new GradientBuckets(observed, parameters, List.toArray network.PartOf, 4096L)
              buckets.ZeroGradients()
              network.AddGradients(Losses.CrossEntropy(network.Forward(images, Train), labels), buckets.OnLayerBackward)
              let early = sent.Count
              buckets.StartRemaining()
              // Before Finish, the gradients are this rank's own. A message sent too early would differ from them.
              let expected = Array.concat [ for tensor in parameters -> Agreement.values (Agreement.gradient tensor) ]
              buckets.Finish() |> ignore
              Expect.equal sent.Count buckets.Count "messages"
              Expect.isGreaterThan early (buckets.Count / 2) "messages sent during the backward pass"

              let values = sent |> Seq.rev |> Array.concat
              Expect.equal (Array.map float values) expected "values sent"
              Expect.isTrue (expected |> Array.exists ((<>) 0.0)) "there are gradients"
          }

      test "messages contain every parameter once, from the last to the first, and all but the last message are full" {
          let sizes, parts = [| 4L; 4L; 20L; 4L; 8L; 4L |], [| 0; 0; 1; 2; 2; 3 |]

          Expect.equal
              [ for struct (first, count, lowest) in GradientBuckets.Plan(sizes, parts, 12L) -> first, count, lowest ]
              [ 4, 2, 2; 2, 2, 1; 0, 2, 0 ]
              "messages"
      } ]

let private starts =
    [ test "ranks do not start if their teachers at the same path have different weights" {
          let recipe = { quick with Loss = Distillation "teacher" }

          let start teachers (ranks: IRanks) =
              use network = Network.create torch.ScalarType.Float32 Rule.Corrected 1L (tiny NoNorm)
              use optimisation = new Optimisation(recipe, network)
              let plan = Pipeline.from (Synthetic.dataset 3L 20 10)
              let plan = { plan with Options = { plan.Options with Ranks = ranks } }
              let state = StageResume.newState plan network { recipe with Loss = CrossEntropy } [] []
              let teacher = Some(List.item ranks.Rank teachers)
              StageRun.requireSameStart plan network optimisation { state with Recipe = recipe; Teacher = teacher }

          ThreadRanks.run 2 (start [ "one"; "one" ]) |> ignore
          let text = messageOf<TrainingException, _>(fun () -> ThreadRanks.run 2 (start [ "one"; "other" ]))
          Expect.stringContains text "do not have the same teacher." "the message"
      } ]

let tests = testList "partitioned batches" (trainings @ descents @ buckets @ starts)

let soak = testList "partitioned batches of two" (partitioned [ 1, 2; 2, 1 ])
