/// RandAugment against torchvision's: tests/fixtures/randaugment/make.py.
module NormFree.Tests.Data.RandAugmentTests

open System
open System.IO
open Expecto
open NormFree.Data
open NormFree.Runs

type private Result = { Operation: string; Bin: int; Magnitude: float; Pixels: string }
type private Fixture = { Width: int; Height: int; Image: string; Results: Result list }

let private fixture =
    lazy
        (let path = Path.Combine(__SOURCE_DIRECTORY__, "..", "..", "fixtures", "randaugment", "expected.json")

         match Json.read<Fixture>(File.ReadAllText path) with
         | Ok fixture -> fixture
         | Error problem -> failtest problem)

let private image =
    lazy
        { Width = fixture.Value.Width
          Height = fixture.Value.Height
          Pixels = Convert.FromBase64String fixture.Value.Image }

let private operation (name: string) =
    test $"{name} equals torchvision's, bit for bit" {
        let operation = Enum.Parse<RandOperation> name

        for result in fixture.Value.Results |> List.filter (fun result -> result.Operation = name) do
            let magnitude = RandAugment.magnitude operation result.Bin image.Value

            Expect.isLessThan
                (abs (magnitude - abs result.Magnitude))
                (1e-6 * max 1.0 magnitude)
                $"the magnitude of bin {result.Bin}"

            let changed =
                RandAugment.apply operation (magnitude * float (if result.Magnitude < 0.0 then -1 else 1)) image.Value

            Expect.sequenceEqual changed.Pixels (Convert.FromBase64String result.Pixels) $"magnitude {result.Magnitude}"
    }

let private random =
    [ test "every operation is drawn, with both signs, and the stream alone decides" {
          let draw seed = Augment.step (RandomStream.OfKeys(int64 seed, 7L)) image.Value (RandAugment(1, 9))
          let drawn = [ for seed in 1..2000 -> draw seed ]
          let expected = fixture.Value.Results |> List.filter (fun result -> result.Bin = 9 || result.Bin = 0)

          Expect.equal
              (drawn |> List.map _.Pixels |> Set.ofList)
              (expected |> List.map (fun result -> Convert.FromBase64String result.Pixels) |> Set.ofList)
              "the images of all operations"

          Expect.equal (draw 11) (draw 11) "the same stream"
      }

      test "operations follow each other" {
          let twice = Augment.step (RandomStream.OfKeys(3L)) image.Value (RandAugment(2, 20))
          let stream = RandomStream.OfKeys(3L)
          let once = Augment.step stream image.Value (RandAugment(1, 20))
          Expect.equal (Augment.step stream once (RandAugment(1, 20))) twice "two steps of one operation"
      }

      test "images of one value and of one pixel are accepted" {
          for flat in
              [ { Width = 5; Height = 4; Pixels = Array.create 60 9uy }
                { Width = 1; Height = 1; Pixels = [| 0uy; 1uy; 2uy |] } ] do
              for operation in Enum.GetValues<RandOperation>() do
                  let changed = RandAugment.apply operation (RandAugment.magnitude operation 30 flat) flat
                  Expect.hasLength changed.Pixels flat.Pixels.Length $"{operation}"
      }

      test "it is added before mixing, whatever the order of the words" {
          let extended = Augmentation.cifar |> Augmentation.extend [ WithCutMix 1.0; WithRandAugment(2, 9) ]

          Expect.equal
              (extended.Train |> List.filter (fun step -> not step.Mixes))
              [ PadCrop 4; Flip; RandAugment(2, 9) ]
              "steps"
      } ]

let tests =
    testList
        "RandAugment"
        [ testList "operations" [ for name in Enum.GetNames<RandOperation>() -> operation name ]
          testList "random" random ]
