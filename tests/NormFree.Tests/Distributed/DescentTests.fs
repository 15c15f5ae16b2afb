/// A batch that is divided gives the step of the whole one, but for batch norm.
module NormFree.Tests.Distributed.DescentTests

open System.Text.Json.Serialization
open Expecto
open NormFree.Data
open NormFree.Distributed
open NormFree.Spec
open NormFree.Torch.Distributed
open NormFree.Torch.Training
open NormFree.Training
open NormFree.Tests.Distributed.Trainings
open NormFree.Tests.Golden
open NormFree.Tests.Training.Support
open TorchSharp

let private whole = lazy (Map [ for norm in norms -> norm, inFloat64 1 norm OneRank.Instance ])

/// The log, without times and the last bits of losses.
let private rounded (history: EpochRecord list) =
    let round (a: Accuracy) = { a with Loss = System.Math.Round(a.Loss, 5) }

    [ for record in timeless history ->
          { record with Train = round record.Train; Test = round record.Test; Health = None } ]

let private skipped (outcome: Outcome) =
    outcome.Events
    |> List.choose (function
        | ImageSkipped image -> Some(image.Index, image.Total)
        | _ -> None)

let private divisions = [ 1, 2; 1, 3; 2, 1; 3, 1; 2, 3 ]

let private trainings =
    [ for ranks, accumulate in divisions do
          for norm in [ NoNorm; BnFree 0.2 ] do
              test $"{Words.norm norm}, float64: {ranks} ranks, {accumulate} parts each, end where one process does" {
                  let found = ThreadRanks.run ranks (inFloat64 accumulate norm)
                  let expected = whole.Value[norm]

                  for one in found do
                      Expect.equal one.Tensors found.Head.Tensors "all ranks have the same bits"
                      Expect.equal (rounded one.History) (rounded expected.History) "log"

                      Expect.equal
                          (skipped one)
                          (skipped expected)
                          "images that cannot be read are told by all, and counted on"

                  let distance = distance found.Head.Tensors expected.Tensors
                  Expect.isLessThan distance 1e-12 $"distance {distance}"
              }

      test "batch norm, float64: a divided batch is another one, since each part is normalised by its own statistics" {
          let found = ThreadRanks.run 2 (inFloat64 1 BatchNorm)
          let distance = distance found.Head.Tensors whole.Value[BatchNorm].Tensors
          Expect.isGreaterThan distance 1e-3 $"distance {distance}"
          Expect.equal found[1].Tensors found[0].Tensors "and yet all ranks have the same, running statistics included"
      }

      test "20 steps are compared, and the batch that nobody could read was none" {
          let steps = whole.Value[NoNorm].Events |> List.filter isStep
          Expect.equal steps.Length 24 "steps"
      } ]

/// Ranks that keep the gradient of a network's first parameter whenever a message of float32 begins to travel.
type private Lookout(ranks: IRanks, network: Network) =
    member val Seen = ResizeArray<float[]>()

    interface IRanks with
        member _.Size = ranks.Size
        member _.Rank = ranks.Rank
        member _.NameOf(rank: int) = ranks.NameOf rank

        member this.BeginSum(values, sums, count, number) =
            if number = NumberType.Float32 then
                this.Seen.Add(Agreement.values (Agreement.gradient (snd network.Parameters.Head)))

            ranks.BeginSum(values, sums, count, number)

        member _.TryPart(word, patience: System.TimeSpan) = ranks.TryPart(word, patience)
        member _.Leave() = ranks.Leave()
        member _.Abort(code: int) = ranks.Abort code

/// What one descent on a batch that ranks share comes to.
type private Descent' = { Found: Descended; Gradients: (string * float[]) list; Messages: int; Seen: float[] list }

let private descended dtype norm accumulate bytes (images: torch.Tensor, labels: torch.Tensor) (ranks: IRanks) =
    use _ = torch.NewDisposeScope()

    use network =
        Network.create dtype Rule.Corrected 1L (Net.withBinarise ActivationsAndWeights (tiny norm))

    let lookout = Lookout(ranks, network)
    let loss _ logits labels = Losses.CrossEntropy(logits, labels)
    use descent = new Descent(lookout, accumulate, network, loss, bytes)

    let first, count = Share.part (int (images.size 0)) ranks.Size ranks.Rank
    let part (tensor: torch.Tensor) = tensor.narrow (0L, int64 first, int64 count)

    { Found = descent.Run(part images, part labels, ranks.Rank, [])
      Gradients = gradients network
      Messages = descent.Messages
      Seen = List.ofSeq lookout.Seen }

let private oneMessage = GradientBuckets.UsualBytes
let private manyMessages = 4096L

let private descents =
    [ for norm in [ NoNorm; BnFree 0.2 ] do
          test
              $"{Words.norm norm}, fused engine: gradients of ranks that differ in size, one of them empty, are those of the batch" {
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
              let division = $"{ranks} ranks, {accumulate} parts each"

              test $"{Words.norm norm}, float64, {division}: many messages have the batch's gradients" {
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
                  $"{Words.norm norm}, fused engine, {division}: messages that begin under the last backward pass change no bit" {
                  use _ = torch.NewDisposeScope()
                  let dtype = torch.ScalarType.Float32
                  let batch = images dtype "descent" 8, labels 8
                  let expected = ThreadRanks.run ranks (descended dtype norm accumulate oneMessage batch)
                  let found = ThreadRanks.run ranks (descended dtype norm accumulate manyMessages batch)

                  for one, expected in List.zip found expected do
                      Expect.equal (one.Messages > 4, expected.Messages) (true, 1) "messages"
                      Expect.hasLength one.Seen one.Messages "messages that began"
                      Expect.notEqual one.Seen.Head (List.last one.Seen) "the first gradient when they began"
                      Expect.equal one.Gradients expected.Gradients "gradients"
              } ]

/// Keeps what every message held when it was sent, for the parameters are to be there by then.
type private Witness() =
    member val Sent = ResizeArray<float32[]>()

    interface IRanks with
        member _.Size = 2
        member _.Rank = 0
        member _.NameOf(rank: int) = $"rank {rank}"

        member this.BeginSum(values, sums, count, number) =
            if number = NumberType.Float32 then
                let copy = Array.zeroCreate<float32> count
                System.Runtime.InteropServices.Marshal.Copy(values, copy, 0, count)
                this.Sent.Add copy

            (OneRank.Instance :> IRanks).BeginSum(values, sums, count, number)

        member _.TryPart(word, _: System.TimeSpan) = [| word; word |]
        member _.Leave() = ()
        member _.Abort(_: int) = ()

let private buckets =
    [ for norm in norms do
          test $"{Words.norm norm}, fused engine: messages begin under the backward pass, and hold whole gradients then" {
              use _ = torch.NewDisposeScope()
              let images, labels = images torch.ScalarType.Float32 "descent" 4, labels 4

              use network =
                  Network.create
                      torch.ScalarType.Float32
                      Rule.Corrected
                      1L
                      (Net.withBinarise ActivationsAndWeights (tiny norm))

              let parameters = [| for _, tensor in network.Parameters -> tensor :> torch.Tensor |]
              let witness = Witness()
              use buckets = new GradientBuckets(witness, parameters, List.toArray network.PartOf, 4096L)
              buckets.Prepare()
              network.AddGradients(Losses.CrossEntropy(network.Forward(images, Train), labels), buckets.LayerBegins)
              let early = witness.Sent.Count
              buckets.Start()
              // Until their sums come, gradients are what this rank computed; some may have left before they were whole.
              let expected = Array.concat [ for tensor in parameters -> Agreement.values (Agreement.gradient tensor) ]
              buckets.Finish() |> ignore
              Expect.equal witness.Sent.Count buckets.Count "messages"
              Expect.isGreaterThan early (buckets.Count / 2) "those that began under the backward pass"

              let sent = witness.Sent |> Seq.rev |> Array.concat
              Expect.equal (Array.map float sent) expected "what was sent"
              Expect.isTrue (expected |> Array.exists ((<>) 0.0)) "there are gradients"
          }

      test "messages hold all parameters once, from the last to the first, and are full but for the last" {
          let sizes, parts = [| 4L; 4L; 20L; 4L; 8L; 4L |], [| 0; 0; 1; 2; 2; 3 |]

          Expect.equal
              [ for struct (first, count, lowest) in GradientBuckets.Plan(sizes, parts, 12L) -> first, count, lowest ]
              [ 4, 2, 2; 2, 2, 1; 0, 2, 0 ]
              "messages"
      } ]

let private starts =
    [ test "ranks whose teachers have other weights, under one path, do not start" {
          let recipe = { quick with Loss = Distillation "teacher" }

          let start teachers (ranks: IRanks) =
              use network = Network.create torch.ScalarType.Float32 Rule.Corrected 1L (tiny NoNorm)
              use optimisation = new Optimisation(recipe, network)
              let plan = Pipeline.from (Drawn.dataset 3L 20 10)
              let plan = { plan with Around = { plan.Around with Ranks = ranks } }
              let state = StageStart.stateHere plan network { recipe with Loss = CrossEntropy } [] []
              let teacher = Include(List.item ranks.Rank teachers)
              StageRun.requireSameStart plan network optimisation { state with Recipe = recipe; Teacher = teacher }

          ThreadRanks.run 2 (start [ "one"; "one" ]) |> ignore
          let text = message<TrainingException, _>(fun () -> ThreadRanks.run 2 (start [ "one"; "other" ]))
          Expect.stringContains text "do not have the same teacher." "the message"
      } ]

let tests = testList "divided batches" (trainings @ descents @ buckets @ starts)
