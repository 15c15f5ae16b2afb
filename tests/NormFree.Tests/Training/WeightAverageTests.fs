/// The exponential moving average of weights: the average itself, and its use in a training.
module NormFree.Tests.Training.WeightAverageTests

open Expecto
open NormFree.Runs
open NormFree.Spec
open NormFree.Networks
open NormFree.Torch.Training
open NormFree.Training
open NormFree.Tests.Data.Support
open NormFree.Tests.Golden
open NormFree.Tests.Training.Pipelines
open NormFree.Tests.Training.Support
open TorchSharp

let private tensor values = GoldenFiles.tensor [| int64 (Array.length values) |] values

let private average =
    test "the average equals a naive loop, and its early steps forget the first weights" {
        use _ = torch.NewDisposeScope()
        use _ = torch.no_grad ()
        let weights = tensor [| 5.0; -3.0 |]
        let counter = torch.tensor 7L
        use average = new WeightAverage([ struct ("w", weights); struct ("steps", counter) ], 0.5)
        let mutable expected = [| 0.0; 0.0 |]

        for step in 0..19 do
            let values = [| 1.0 / float (step + 1); float step |]
            weights.copy_ (tensor values) |> ignore
            average.Follow(int64 step)
            let kept = min 0.5 (float step / (10.0 + float step))
            expected <- Array.map2 (fun a w -> kept * a + (1.0 - kept) * w) expected values

        let names = [ for struct (name, _) in average.State -> name ]
        Expect.equal names [ "w/average" ] "integers have no average"

        for struct (_, found) in average.State do
            Agreement.allClose 1e-12 found expected "average"
    }

let private swaps =
    test "two swaps restore weights and average, bit for bit" {
        use _ = torch.NewDisposeScope()
        let weights = tensor [| 0.1; 1e-30; -7.0 |]
        use average = new WeightAverage([ struct ("w", weights) ], 0.9)
        average.Follow 0L
        average.Follow 1L
        weights.mul_ (torch.tensor 3.0) |> ignore
        let averaged () = [ for struct (_, tensor) in average.State -> bits tensor ]
        let before, held = bits weights, averaged ()
        average.Swap()
        Expect.equal [ bits weights ] held "the network has the average"
        average.Swap()
        Expect.equal (bits weights, averaged ()) (before, held) "restored"
    }

let private inTraining =
    [ for norm in [ BnFree 0.2; BatchNorm ] do
          test $"{Names.norm norm}: epochs are scored by the average, and the stage ends with it" {
              use folder = new TempFolder()
              let recipe = { quick with WeightAverage = Some 0.8 }

              use trained = Pipeline.from few.Value |> Pipeline.into folder.Path |> Pipeline.train recipe (tiny norm)

              use last = Checkpoint.load torch.ScalarType.Float32 ((RunFolder.at folder.Path).Last 1)
              sameBits (tensorBits last.Network) (tensorBits trained.Network) "the last checkpoint"

              let score =
                  Evaluation.accuracy RunOptions.Default (ImageTask.Of few.Value) 20 last.Network few.Value.Test

              Expect.floatClose Accuracy.high score.Loss (List.last trained.History).Test.Loss "the last epoch's loss"

              let file = fileBits ((RunFolder.at folder.Path).Last 1) |> Map
              let key = "layer1.0.binary_conv.weight"
              let key = if file.ContainsKey key then key else (fst trained.Network.Parameters.Head).Key
              Expect.notEqual file[key] file[$"optimiser/{key}/average"] "the file keeps the last step's weights too"
          } ]

let tests = testList "weight average" ([ average; swaps ] @ inTraining)
