/// Data-dependent initialisation (deviation 6).
module NormFree.Tests.Training.DataDependentInitTests

open System.Threading
open Expecto
open NormFree.Data
open NormFree.Spec
open NormFree.Torch
open NormFree.Runs
open NormFree.Networks
open NormFree.Training
open NormFree.Tests.Data.Support
open NormFree.Tests.Golden
open NormFree.Tests.Training.Support
open TorchSharp

let private measured = { quick with Epochs = 1; Initialisation = Initialisation.DataDependent }
let private create net = Network.create torch.ScalarType.Float32 Rule.Corrected 3L net
let private variances net = (Net.tryBinary net).Value.ExpectedVariance

/// Mean and variance, over batch and pixels, of every channel of each sign's argument.
let private signed (network: Network) (images: torch.Tensor) =
    use _ = torch.no_grad ()
    let found = ResizeArray()
    let tensors = System.Collections.Generic.Dictionary(dict network.Tensors)

    let run graph (x: torch.Tensor) = CompositeEngine.OfTorch((fun () -> 0.0), tensors).Run(Evaluate, (graph: Graph), x)

    (images, Lowering.parts network.Spec)
    ||> List.fold (fun x (_, graph) ->
        for layer in Graph.layers graph do
            let signed = (x.Times layer.Convolution.Beta).Plus tensors[layer.Convolution.Shift.Value]
            let flat = signed.permute(1L, 0L, 2L, 3L).flatten 1L
            found.Add(Agreement.values (flat.mean [| 1L |]), Agreement.values (flat.var (1L, false)))

        run graph x)
    |> ignore

    List.ofSeq found

let private centred =
    [ for norm in [ BnFree 0.2; Scaled 0.2 ] do
          test $"{Names.norm norm}: the argument of each sign has mean 0 in every channel, and its variance averages 1" {
              use _ = torch.NewDisposeScope()
              let images = images torch.ScalarType.Float32 "start" 16
              use fresh = create (tiny norm)
              use init = DataDependentInit.ofImages fresh images
              use network = create init.Net
              DataDependentInit.apply init network
              let layers = signed network images
              Expect.hasLength layers 9 "layers"

              for means, variances in layers do
                  Expect.all means (fun mean -> abs mean < 1e-4) "means"
                  Expect.floatClose Accuracy.low (Array.average variances) 1.0 "variance"
          } ]

/// Every binary architecture, narrow, with a shift before each sign.
let private architectures =
    [ for name, table in Architecture.all do
          let net = table { Width = 0.125; Depth = 0.25 } CifarStem |> Net.withClasses 10

          let shifted (conv: BinaryConvolution) =
              { conv with Shift = conv.Shift |> Option.orElse (Some $"{conv.Convolutions.Head}.shift") }

          if Net.isBinary net then
              name, net |> Net.mapBlocks (Blocks.mapBinary shifted) ]

let private centredArchitectures =
    [ for name, net in architectures do
          test $"{name}: the argument of each sign has mean 0 in every channel" {
              use _ = torch.NewDisposeScope()
              use _ = torch.no_grad ()
              let images = images torch.ScalarType.Float32 "start" 8
              use fresh = create net
              use init = DataDependentInit.ofImages fresh images
              use network = create init.Net |> Network.running Execution.Portable
              DataDependentInit.apply init network
              let tensors = dict network.Tensors
              let layers = dict [ for layer in Lowering.layers network.Spec -> layer.Name, layer.Convolution ]
              let seen = ResizeArray()

              let hook name (x: torch.Tensor) =
                  let argument = (x.Times layers[name].Beta).Plus tensors[layers[name].Shift.Value]
                  seen.Add name

                  for mean in Agreement.values (argument.mean [| 0L; 2L; 3L |]) do
                      Expect.isLessThan (abs mean) 1e-4 name

              network.Forward(images, Evaluate, { ForwardHook.none with Layer = hook }) |> ignore
              Expect.sequenceEqual seen [ for layer in Lowering.layers net -> layer.Name ] "every layer"
          } ]

let private trained folder runOptions recipe net =
    { Pipeline.from (Synthetic.dataset 5L 60 20) with Options = runOptions }
    |> Pipeline.into folder
    |> Pipeline.train recipe net

let private trainedBinary folder runOptions net =
    { Pipeline.from (Synthetic.dataset 5L 60 20) with Options = runOptions }
    |> Pipeline.into folder
    |> Pipeline.trainBinaryFrom None measured net

/// Stops a training after its second step.
let private interrupts (train: RunOptions -> unit) =
    use stop = new CancellationTokenSource()

    let handler event =
        match event with
        | StepDone { Images = 40 } -> stop.Cancel()
        | _ -> ()

    let runOptions = { RunOptions.Default with OnEvent = handler; Cancellation = stop.Token }
    Expect.throwsT<System.OperationCanceledException> (fun () -> train runOptions) "interrupted"

let private hasMeasured (net: NetSpec) =
    match variances net with
    | ExpectedVariance.Measured found -> found.Length = 9 && found |> List.exists (fun v -> abs (v - 1.0) > 0.1)
    | _ -> false

let private pipelines =
    [ test "stage 2 and its checkpoint keep the variances that were measured in stage 1" {
          use folder = new TempFolder()

          trained folder.Path RunOptions.Default measured (tiny (BnFree 0.2))
          |> Pipeline.binariseWeights measured
          |> useTrained (fun second ->
              Expect.isTrue (hasMeasured second.Network.Spec) "stage 2"
              let first = Checkpoint.readSpec ((RunFolder.at folder.Path).Last 1)
              Expect.equal (variances second.Network.Spec) (variances first) "variances")
      }

      test "an interrupted run resumes with its measured variances and ends with the same bits" {
          use whole = new TempFolder()
          use interrupted = new TempFolder()
          let net = tiny (BnFree 0.2)

          let expected =
              trained whole.Path RunOptions.Default measured net |> useTrained (fun t -> tensorBits t.Network)

          interrupts (fun runOptions -> trained interrupted.Path runOptions measured net |> useTrained ignore)

          let actual =
              trained interrupted.Path RunOptions.Default measured net
              |> useTrained (fun t -> tensorBits t.Network)

          sameBits actual expected "weights"
      }

      test "a run that starts with stage 2 measures variances, records them, and resumes with them" {
          use whole = new TempFolder()
          use interrupted = new TempFolder()
          let net = tiny (BnFree 0.2)

          let expected =
              trainedBinary whole.Path RunOptions.Default net |> useTrained (fun t -> tensorBits t.Network)

          interrupts (fun runOptions -> trainedBinary interrupted.Path runOptions net |> useTrained ignore)
          let saved = Checkpoint.readSpec ((RunFolder.at interrupted.Path).Last 2)
          Expect.isTrue (hasMeasured saved) "the checkpoint"

          trainedBinary interrupted.Path RunOptions.Default net
          |> useTrained (fun t ->
              Expect.equal t.Network.Spec saved "the network"
              sameBits (tensorBits t.Network) expected "weights"
              let configuration = Map(RunConfiguration.rows t.Configuration)

              Expect.equal
                  configuration["activations+weights: initialisation"]
                  "data-dependent"
                  "run.json: the initialisation"

              let variances = Names.expectedVariance (variances saved)
              Expect.equal configuration["expected variance"] variances "run.json: the variances")
      }

      test "a run that starts from a checkpoint uses its variances, whatever its own recipe says" {
          use first = new TempFolder()
          use second = new TempFolder()
          let net = tiny (BnFree 0.2)
          trained first.Path RunOptions.Default measured net |> useTrained ignore
          let file = (RunFolder.at first.Path).Last 1

          let plan = Pipeline.from (Synthetic.dataset 5L 60 20) |> Pipeline.into second.Path

          plan
          |> Pipeline.trainBinaryFrom (Some file) { measured with Initialisation = Initialisation.Fixed } net
          |> useTrained (fun t ->
              Expect.equal (variances t.Network.Spec) (variances (Checkpoint.readSpec file)) "variances")

          // Resumes without that file.
          System.IO.File.Delete file

          plan
          |> Pipeline.trainBinaryFrom (Some file) { measured with Initialisation = Initialisation.Fixed } net
          |> useTrained (fun t -> Expect.isTrue (hasMeasured t.Network.Spec) "variances")
      }

      test "batch norm needs no measurement" {
          use folder = new TempFolder()

          trained folder.Path RunOptions.Default measured (tiny BatchNorm)
          |> useTrained (fun t -> Expect.equal (variances t.Network.Spec) ExpectedVariance.Corrected "variances")
      } ]

let private remeasured =
    test "stage 2 measures shifts and variances again, with its binary weights, if the recipe says so" {
        use folder = new TempFolder()
        let data = Synthetic.dataset 3L 60 20
        let still = { measured with LearningRate = 1e-30 }

        let still =
            { still with
                Deviations = { still.Deviations with SignCentering = Rule.Published; StreamCentering = Rule.Published } }

        let path = folder.File "stage1"

        let stage1 =
            Pipeline.from data
            |> Pipeline.train measured (tiny (BnFree 0.2))
            |> Pipeline.save path
            |> useTrained (fun trained -> variances trained.Network.Spec)

        let stage2 recipe = Pipeline.from data |> Pipeline.trainBinaryFrom (Some path) recipe (tiny (BnFree 0.2))

        stage2 still |> useTrained (fun kept -> Expect.equal (variances kept.Network.Spec) stage1 "kept")

        use again = stage2 { still with Remeasure = Some true }
        Expect.notEqual (variances again.Network.Spec) stage1 "measured again"
        use _ = torch.NewDisposeScope()
        let images = Evaluation.first RunOptions.Default (ImageTask.Of data) 60 data.Train

        for means, variances in signed again.Network images do
            Expect.all means (fun mean -> abs mean < 1e-3) "means"
            Expect.floatClose Accuracy.low (Array.average variances) 1.0 "variance"
    }

let tests =
    testList "data-dependent initialisation" (centred @ centredArchitectures @ pipelines @ [ remeasured ])
