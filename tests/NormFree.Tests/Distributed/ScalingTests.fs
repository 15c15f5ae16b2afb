/// Compares predictions with hand calculations.
module NormFree.Tests.Distributed.ScalingTests

open Expecto
open NormFree.Spec
open NormFree.Runs
open NormFree.Networks
open NormFree.Training
open NormFree.Benchmarks
open NormFree.Tests.Golden.Closeness
open NormFree.Tests.Training.Support
open TorchSharp

/// 8 Gbit/s: one megabyte per millisecond.
let private link = { BandwidthGbit = 8.0; LatencyUs = 100.0 }

let private megabyte = 1e6

let private sums =
    [ for ranks, bytes, expected, what in
          [ 1, megabyte, 0.0, "a single process sends nothing"
            2, megabyte, 2.0 + 0.2, "up and down a tree"
            3, megabyte, 4.0 + 0.4, "a tree of two levels"
            4, megabyte, 1.5 + 0.4, "Rabenseifner: twice three quarters of the data, two messages each way"
            512, megabyte, 2.0 * 511.0 / 512.0 + 1.8, "Rabenseifner: nine messages each way"
            512, 1000.0, 18.0 * 0.1 + 18.0 * 0.001, "short messages use a tree" ] do
          test $"{bytes} bytes over {ranks} ranks: {what}" {
              close 1e-12 1.0 (NetworkLink.milliseconds link ranks bytes) expected "milliseconds"
          } ]

/// 10 ms forward and 20 ms backward for 8 images, half of both independent of the images; two messages.
let private model: StepModel =
    { Forward = { Fixed = 5.0; PerImage = 0.625 }
      Backward = { Fixed = 10.0; PerImage = 1.25 }
      Update = 1.0
      Messages = [ 4.0 * megabyte, 0.25; megabyte, 1.0 ]
      SignCentering = None }

let private steps =
    [ test "the prediction for one node is the measurement" {
          let found = Scaling.predict model link 8 1
          Expect.equal (found.StepMs, found.ExposedMs, found.Efficiency) (31.0, 0.0, 1.0) "step, exposed, efficiency"
      }

      test "messages are sent one after the other, and the last one is exposed after the backward pass" {
          // 4 images: 7.5 ms forward, 15 backward. The first is ready at 3.75 and takes 8.2; the second, at 15, takes 2.2.
          let found = Scaling.predict model link 8 2
          close 1e-9 1.0 found.ExposedMs 2.2 "exposed"
          close 1e-9 1.0 found.StepMs (7.5 + 15.0 + 1.0 + 2.2) "step"
          close 1e-9 1.0 found.ExchangeMs 10.4 "exchange"
      }

      test "the sum of sign centering is exposed after the others" {
          let found = Scaling.predict { model with SignCentering = Some 1000.0 } link 8 2
          close 1e-9 1.0 found.ExposedMs (2.2 + 0.202) "exposed"
          close 1e-9 1.0 found.ExchangeMs (10.4 + 0.202) "exchange"
      }

      test "sign centering sums the means of all channels before signs, and one mean square per layer" {
          for net in [ tiny (BnFree 0.2); tiny (BnFree 0.2) |> Net.withBinarise ActivationsAndWeights ] do
              use network = Network.create torch.ScalarType.Float32 Rule.Corrected 1L net

              let numbers =
                  SignLayers.ofNetwork network
                  |> List.sumBy (fun (layer: SignLayer) -> layer.Shift.Value.numel () + 1L)

              Expect.equal (Scaling.signCenteringBytes net) (8.0 * float numbers) "bytes"
      }

      test "nodes without images wait for the nodes that have one" {
          let found = Scaling.predict model link 8 64
          Expect.equal found.ImagesPerNode 1 "images of the node that has most"
          Expect.isLessThan found.Efficiency 0.05 "efficiency"
      }

      test "with a fixed batch per node, only communication lowers the efficiency" {
          let table = Scaling.table model link 8 8 [ 1; 2 ]
          let found = table.BatchPerNode |> List.map (fun row -> row.Batch, row.Efficiency)
          Expect.equal found [ 8, 1.0; 16, System.Math.Round(31.0 / 33.2, 3) ] "batch, efficiency"
      } ]

let tests = testList "scaling" (sums @ steps)
