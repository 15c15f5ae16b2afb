/// Properties of every network of the language, tested on random ones.
module NormFree.Tests.Training.RandomNetworkTests

open System
open Expecto
open NormFree.Spec
open NormFree.Runs
open NormFree.Networks
open NormFree.Training
open NormFree.Torch.Training
open NormFree.Tests.Golden
open NormFree.Tests.Spec
open NormFree.Tests.Training.Support
open TorchSharp

let private double = torch.ScalarType.Float64

let private small dtype count = torch.nn.functional.avg_pool2d (images dtype "random" count, 2L)

let private seeds = [ 1L .. 40L ]

let private isBatchNorm (net: NetSpec) = net.Norm = BatchNorm

let private specs =
    [ for seed in seeds do
          let net = RandomSpecs.net seed

          test $"{net.Name}: it is valid, and its JSON gives it back" {
              Expect.isOk (Validation.fits RandomSpecs.side RandomSpecs.side net) "valid"
              Expect.equal (Json.read<NetSpec>(Json.write net)) (Ok net) "as in checkpoints"
              use folder = new NormFree.Tests.Data.Support.TempFolder()
              let path = folder.File "network.json"
              IO.File.WriteAllText(path, "// a comment\n" + NetworkJson.write net)
              Expect.equal (NetworkJson.read path) net "as a file"
          }

          test $"{net.Name}: the summary counts the built network's values" {
              use network = Network.create torch.ScalarType.Float32 Rule.Corrected seed net

              match Summary.create RandomSpecs.side RandomSpecs.side net with
              | Error errors -> failtest $"{errors}"
              | Ok summary ->
                  Expect.equal
                      summary.Total.Parameters
                      (network.Parameters |> List.sumBy (fun (_, tensor) -> tensor.numel ()))
                      "parameters"
          } ]

let private steps =
    [ for seed in seeds do
          let net = RandomSpecs.net seed

          test $"{net.Name}: a training step is finite and reaches every parameter" {
              use _ = torch.NewDisposeScope()
              use network = Network.create torch.ScalarType.Float32 Rule.Corrected seed net
              use optimisation = new Optimisation(Recipe.corrected, network)
              network.Backward(Losses.CrossEntropy(network.Forward(small torch.ScalarType.Float32 6, Train), labels 6))

              for described, tensor in network.Parameters do
                  let gradient = Agreement.values (Agreement.gradient tensor)
                  Expect.all gradient Double.IsFinite described.Key

              optimisation.Clip()
              optimisation.Move 1e-3

              for described, tensor in network.Parameters do
                  Expect.all (Agreement.values tensor) Double.IsFinite described.Key
          }

          if not (isBatchNorm net) then
              test $"{net.Name}: an image's logits depend on no other image" {
                  use _ = torch.NewDisposeScope()
                  use _ = torch.no_grad ()
                  use network = Network.create double Rule.Corrected seed net
                  let images = small double 3
                  let together = Agreement.values (network.Forward(images, Train))

                  for i in 0..2 do
                      let alone = network.Forward(images.narrow (0L, int64 i, 1L), Train)
                      Agreement.allClose 1e-12 alone together[10 * i .. 10 * i + 9] $"image {i}"
              } ]

let private annealing =
    test "an annealed gradient depends on the progress of the stage" {
        use _ = torch.NewDisposeScope()

        let net =
            tiny NoNorm
            |> Net.mapBlocks (Blocks.mapBinary (fun conv -> { conv with Shift = None }))
            |> Net.withSign (SignGradient.AnnealedTanh(1.0, 10.0))

        let gradient engine progress =
            use network =
                Network.create torch.ScalarType.Float32 Rule.Corrected 1L net
                |> Network.running { Execution.Default with Engine = engine }

            network.Progress <- progress

            network.Backward(
                Losses.CrossEntropy(network.Forward(images torch.ScalarType.Float32 "annealed" 2, Train), labels 2)
            )

            Agreement.values (Agreement.gradient (snd network.Parameters.Head))

        for engine in [ Composite; Fused ] do
            Expect.notEqual (gradient engine 0.0) (gradient engine 0.5) "another slope"
            Expect.equal (gradient engine 0.5) (gradient engine 0.5) "the same again"
    }

let tests = testList "random networks" [ testList "specs" specs; testList "steps" steps; annealing ]
