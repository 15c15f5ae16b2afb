/// What a script plugs into networks, recipes and data sets.
module NormFree.Tests.Training.ExtensionTests

open System
open Expecto
open NormFree.Data
open NormFree.Spec
open NormFree.Torch
open NormFree.Torch.Layers
open NormFree.Runs
open NormFree.Networks
open NormFree.Training
open NormFree.Tests.Data.Support
open NormFree.Tests.Golden
open NormFree.Tests.Training.Pipelines
open NormFree.Tests.Training.Support
open TorchSharp

let private registered =
    lazy
        (Extensions.registerSign "steep" (fun x -> SignFunctions.TanhSign(x, 3.0))
         Extensions.registerActivation "soft" (fun x -> x.tanh ())

         Extensions.registerLoss "halved" (fun logits labels ->
             torch.nn.functional.cross_entropy (logits.Times 0.5, labels))

         Extensions.registerOptimiser "momentum" [ "velocity" ] (fun parameter gradient state rate ->
             state[0].TimesInPlace(0.9).PlusInPlace gradient |> ignore
             parameter.Tensor.PlusInPlace(state[0], -rate) |> ignore)

         Augment.register "invert" (fun random image ->
             if random.Float() < 0.5 then
                 { image with Pixels = image.Pixels |> Array.map (fun value -> 255uy - value) }
             else
                 image))

let private net =
    tiny (BnFree 0.2)
    |> Net.withSign (SignGradient.Custom "steep")
    |> Net.mapBlocks (Blocks.mapActivations (fun _ -> Activation.Custom "soft"))

let private recipe =
    { quick with
        Loss = CustomLoss "halved"
        Optimiser = CustomOptimiser "momentum"
        LearningRate = 0.05 }

let private data =
    lazy
        (let dataset = Synthetic.dataset 3L 60 20

         { dataset with
             Augmentation = { dataset.Augmentation with Train = [ CustomAugment "invert"; Flip ] } })

let private message (action: unit -> unit) =
    try
        action ()
        failtest "nothing was thrown"
    with
    | :? TrainingException as e -> e.Message
    | :? InvalidOperationException as e -> e.Message

let private unregistered =
    [ for what, said, action in
          [ "a sign gradient",
            [ "sign gradient 'nobody'"; "registerSign \"nobody\"" ],
            fun () ->
                use _ =
                    Network.create
                        torch.ScalarType.Float32
                        Rule.Corrected
                        1L
                        (tiny NoNorm |> Net.withSign (SignGradient.Custom "nobody"))

                ()
            "an activation",
            [ "activation 'nobody'"; "registerActivation" ],
            fun () ->
                let net = tiny NoNorm |> Net.mapBlocks (Blocks.mapActivations (fun _ -> Activation.Custom "nobody"))
                use _ = Network.create torch.ScalarType.Float32 Rule.Corrected 1L net
                ()
            "an optimiser",
            [ "optimiser 'nobody'"; "registerOptimiser" ],
            fun () ->
                use network = Network.create torch.ScalarType.Float32 Rule.Corrected 1L (tiny NoNorm)
                use _ = new Optimisation({ quick with Optimiser = CustomOptimiser "nobody" }, network)
                ()
            "an augmentation",
            [ "augmentation 'nobody'"; "Augment.register" ],
            fun () ->
                let random = RandomStream.OfKeys [| 1L |]
                Augment.step random (Image.blank 4 4) (CustomAugment "nobody") |> ignore ] do
          test $"{what} that is not registered is an error that names the call" { contains said (message action) } ]

let tests =
    testList
        "extensions"
        [ test "a network and a recipe of own parts train, and resume exactly" {
              registered.Force()
              use folder = new TempFolder()
              let into name = Pipeline.from data.Value |> Pipeline.into (folder.File name)
              let train = Pipeline.train { recipe with Epochs = 3 } net
              let whole = into "whole" |> train |> useTrained (fun trained -> tensorBits trained.Network)

              try
                  into "stopped" |> interrupted true epochs 2 |> train |> useTrained ignore
                  failtest "the run was not interrupted"
              with :? OperationCanceledException ->
                  ()

              let resumed = into "stopped" |> train |> useTrained (fun trained -> tensorBits trained.Network)
              sameBits whole resumed "resumed"
          }

          test "the fused engine runs a layer with an own gradient as the composite engine does" {
              registered.Force()
              use _ = torch.NewDisposeScope()
              use network = Network.create torch.ScalarType.Float32 Rule.Corrected 1L net
              let images = images torch.ScalarType.Float32 "extension" 2
              let composite = network |> Network.running Execution.Portable

              Agreement.allClose
                  1e-5
                  (network.Forward(images, Evaluate))
                  (Agreement.values (composite.Forward(images, Evaluate)))
                  "logits"
          }

          yield! unregistered ]
