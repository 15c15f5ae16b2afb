module NormFree.Tests.Data.MixingTests

open System
open Expecto
open NormFree.Data

let private classes = 10

/// Image i has the value 20·i in every byte, and class i.
let private flatSource: ImageSource =
    [| for i in 0 .. classes - 1 -> { Width = 8; Height = 8; Pixels = Array.create 192 (byte (20 * i)) }, i |]
    |> ImageSource.ofImages "flat"

let private options steps batch =
    { Loader.training
          { Name = "mixed"
            Classes = Array.init classes string
            Train = flatSource
            Test = flatSource
            Normalisation = { Mean = Array.zeroCreate 3; Deviation = Array.create 3 1.0f }
            Size = 8
            Augmentation = { Train = steps; Test = [] }
            Notes = [] }
          batch with
        Seed = 3L }

let private read (options: LoaderOptions) = Loader.read options flatSource (Loader.inOrder classes) |> List.ofSeq

/// Every image of many epochs: its bytes, class, partner's class and share.
let private images steps =
    [ for epoch in 1..60 do
          for batch in read { options steps 4 with Epoch = epoch } do
              for i in 0 .. batch.Count - 1 ->
                  batch.Images[192 * i .. 192 * i + 191] |> Array.map (fun value -> 255.0 * float value),
                  int batch.Labels[i],
                  int batch.Partners[i],
                  float batch.Shares[i] ]

let private mirrored =
    test "reflecting padding mirrors the image without repeating its edge" {
        let image =
            { Width = 4
              Height = 3
              Pixels =
                [| for y in 0..2 do
                       for x in 0..3 do
                           yield! [ byte x; byte y; 7uy ] |] }

        // Of 0 1 2 3: … 2 1 | 0 1 2 3 | 2 1 0 1 …
        let naive n place =
            let mutable p = place

            while p < 0 || p >= n do
                p <- if p < 0 then -p else 2 * (n - 1) - p

            p

        for left in -9 .. 9 do
            for top in -9 .. 9 do
                let moved = Image.mirrored left top image

                for y in 0..2 do
                    for x in 0..3 do
                        let at = 3 * (4 * y + x)

                        Expect.equal
                            (int moved.Pixels[at], int moved.Pixels[at + 1])
                            (naive 4 (left + x), naive 3 (top + y))
                            $"({x}, {y}) of the window at ({left}, {top})"

        let dot = { Width = 1; Height = 1; Pixels = [| 1uy; 2uy; 3uy |] }
        Expect.equal (Image.mirrored -3 2 dot) dot "one pixel is everywhere"

        let shifts =
            [ for seed in 1..500 ->
                  let moved = Augment.step (RandomStream.OfKeys(int64 seed, 5L)) image (ReflectPadCrop 1)
                  Expect.equal (moved.Width, moved.Height) (4, 3) "the size is unchanged"
                  moved.Pixels[0], moved.Pixels[1] ]

        Expect.equal (shifts |> List.distinct |> List.length) 4 "(0 or 1, 0 or 1): −1 is mirrored to 1"
    }

let private mixup =
    test "mixup blends two images in the ratio of their labels" {
        let all = images [ Mixup 1.0 ]

        for pixels, own, partner, share in all do
            let expected = share * float (20 * own) + (1.0 - share) * float (20 * partner)

            for pixel in pixels do
                Expect.isLessThan (abs (pixel - expected)) 0.501 "rounded to a byte"

        Expect.isGreaterThan
            (all |> List.filter (fun (_, own, partner, _) -> own <> partner) |> List.length)
            480
            "partners"

        let mean = all |> List.averageBy (fun (_, _, _, share) -> share)
        Expect.isLessThan (abs (mean - 0.5)) 0.05 "the mean share of 600 uniform ones"
    }

let private cutmix =
    test "CutMix replaces a rectangle of the share's area" {
        for pixels, own, partner, share in images [ CutMix 1.0 ] do
            let isOf image value = abs (value - float (20 * image)) < 0.01
            Expect.all pixels (fun value -> isOf own value || isOf partner value) "pixels of both images"

            if own <> partner then
                let left = pixels |> Array.filter (isOf own) |> Array.length
                Expect.floatClose Accuracy.medium (float left / 192.0) share "the share of the own pixels"

                // The replaced places of one plane form a full rectangle.
                let places =
                    [ for i in 0..63 do
                          if isOf partner pixels[i] then
                              i % 8, i / 8 ]

                if not places.IsEmpty then
                    let sides values = 1 + List.max values - List.min values
                    let area = sides (List.map fst places) * sides (List.map snd places)
                    Expect.equal places.Length area "a rectangle"
    }

let private independent =
    test "mixed images depend neither on batches nor on workers nor on the shard" {
        let steps = [ PadCrop 1; Mixup 0.2; CutMix 1.0 ]

        let flat (batches: Batch list) =
            [ for b in batches do
                  yield! Array.toList b.Images ],
            [ for b in batches do
                  yield! Array.toList b.Shares ]

        let whole = flat (read (options steps 10))
        Expect.equal (flat (read { options steps 3 with Workers = 1 })) whole "batches of 3, one worker"

        let parts =
            [ for rank in 0..1 ->
                  Loader.readShard { Rank = rank; Ranks = 2 } (options steps 10) flatSource (Loader.inOrder classes)
                  |> List.ofSeq ]

        Expect.equal (flat (List.concat parts)) whole "two ranks"
        let alone = read (options [ PadCrop 1 ] 10)
        Expect.all alone (fun batch -> batch.Shares.Length = 0 && batch.Partners.Length = 0) "nothing without mixing"
    }

let private unreadable =
    test "an image whose partner cannot be read stays as it is" {
        let source =
            { flatSource with Load = fun i -> if i > 0 then Error "it is made to fail" else flatSource.Load 0 }

        for epoch in 1..20 do
            let batch = Loader.read { options [ Mixup 1.0 ] 1 with Epoch = epoch } source [| 0 |] |> Seq.exactlyOne
            Expect.all batch.Images ((=) 0.0f) "the image"
            Expect.equal batch.Partners [| 0L |] "its own class"
    }

let private beta =
    test "Beta(a, a) has mean 1/2 and variance 1/(4·(2a + 1))" {
        for a in [ 0.1; 0.2; 1.0; 2.0 ] do
            let random = RandomStream.OfSeed 7UL
            let values = [ for _ in 1..20000 -> random.Beta a ]
            Expect.all values (fun value -> value >= 0.0 && value <= 1.0) "within 0 and 1"
            let mean = List.average values
            let variance = values |> List.averageBy (fun value -> (value - mean) ** 2.0)
            Expect.isLessThan (abs (mean - 0.5)) 0.015 $"mean, a = {a}"
            Expect.isLessThan (abs (variance * 4.0 * (2.0 * a + 1.0) - 1.0)) 0.05 $"variance, a = {a}"
    }

let private extended =
    test "extras change the training steps only" {
        Expect.equal
            (Augmentation.extend [ Reflect; WithCutMix 1.0 ] { Train = [ PadCrop 4; Flip ]; Test = [ PadCrop 4 ] })
            { Train = [ ReflectPadCrop 4; Flip; CutMix 1.0 ]; Test = [ PadCrop 4 ] }
            "steps"
    }

let tests = testList "mixing" [ mirrored; mixup; cutmix; independent; unreadable; beta; extended ]
