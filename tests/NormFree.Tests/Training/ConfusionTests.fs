/// What a network takes for what: counted, kept in the run's folder, and read again.
module NormFree.Tests.Training.ConfusionTests

open System
open System.IO
open System.Text
open Expecto
open NormFree.Data
open NormFree.Formats
open NormFree.Spec
open NormFree.Runs
open NormFree.Networks
open NormFree.Training
open NormFree.Tests.Data.Support
open NormFree.Tests.Formats
open NormFree.Tests.Training.Support
open TorchSharp

let private data = lazy (Synthetic.dataset 3L 40 60)

let private recipe = { quick with Epochs = 2; Batch = 20 }

let private train (folder: TempFolder) watch =
    Pipeline.from data.Value
    |> Pipeline.into folder.Path
    |> Pipeline.onEvent watch
    |> Pipeline.train recipe (tiny (BnFree 0.2))
    |> Pipeline.finish

let private file (folder: TempFolder) = Path.Combine(folder.Path, "confusion.json")

let private kept (folder: TempFolder) =
    match ConfusionFile.read { Path = folder.Path } with
    | Some confusion -> confusion
    | None -> failtest "there is no confusion.json"

/// Class, guess and the guess's probability of each test image, by the logits of the best checkpoint.
let private naive (folder: TempFolder) =
    let best = ({ Path = folder.Path }: RunFolder).Best 1
    use checkpoint = Checkpoint.load torch.ScalarType.Float32 best
    let images = Evaluation.first RunOptions.Default checkpoint.ImageTask 60 data.Value.Test
    use _ = torch.NewDisposeScope()
    use _ = torch.no_grad ()
    let logits = checkpoint.Network.Forward(images, Evaluate).data<float32>().ToArray() |> Array.map float

    [ for i in 0..59 ->
          let row = logits[10 * i .. 10 * i + 9]
          let guess = Array.findIndex ((=) (Array.max row)) row
          data.Value.Test.Label i, guess, exp row[guess] / Array.sumBy exp row ]

let private counted =
    test "counts, classes and confidence are those of the best network's logits" {
        use folder = new TempFolder()
        let run = train folder ignore
        let confusion, expected = kept folder, naive folder
        let ofPair truth guess = expected |> List.filter (fun (t, g, _) -> t = truth && g = guess)
        let best = run.Stages |> List.last |> (fun (_, _, best) -> best)
        Expect.equal (confusion.Stage, confusion.Epoch, confusion.Images) (best.Stage, best.Epoch, 60) "of what"
        Expect.equal confusion.Top1 best.Test.Top1 "the log's accuracy"

        for i, result in List.indexed confusion.Classes do
            Expect.equal result.Name data.Value.Classes[i] "name"
            Expect.equal result.Right (ofPair i i).Length "recognised"

        Expect.equal
            (confusion.Pairs |> List.map (fun p -> (p.Truth, p.Guess), p.Count) |> List.sort)
            (expected
             |> List.filter (fun (t, g, _) -> t <> g)
             |> List.countBy (fun (t, g, _) -> t, g)
             |> List.sort)
            "pairs"

        Expect.equal
            confusion.Pairs
            (confusion.Pairs |> List.sortByDescending _.Count |> List.sortBy (fun p -> -p.Count))
            "order"

        let most = confusion.Pairs.Head
        let surest = ofPair most.Truth most.Guess |> List.map (fun (_, _, p) -> p) |> List.sortDescending
        let shown = confusion.Mistakes |> List.filter (fun m -> (m.Truth, m.Guess) = (most.Truth, most.Guess))
        Expect.hasLength shown (min 3 surest.Length) "three of a pair"

        for mistake, probability in List.zip shown (List.truncate shown.Length surest) do
            Expect.floatClose { absolute = 1e-5; relative = 0.0 } mistake.Probability probability "the surest"
    }

let private pictured =
    test "pictures are the test images as they were prepared" {
        use folder = new TempFolder()
        train folder ignore |> ignore
        let mistakes = (kept folder).Mistakes
        Expect.isNonEmpty mistakes "mistakes"
        Expect.isLessThanOrEqual mistakes.Length 24 "bounded"

        let prepared =
            [ for i in 0..59 do
                  match data.Value.Test.Load i with
                  | Ok image -> data.Value.Test.Name i, image
                  | Error why -> failtest why ]
            |> dict

        for mistake in mistakes do
            match Decode.image (Convert.FromBase64String mistake.Picture) with
            | Ok image -> Expect.equal image prepared[mistake.Name] mistake.Name
            | Error why -> failtest why
    }

let private keeping =
    [ test "it is no part of what a run has come to, and is not made twice" {
          use folder = new TempFolder()
          train folder ignore |> ignore
          let fingerprint () = Fingerprint.ofRun { Path = folder.Path }
          let before, text = fingerprint (), File.ReadAllText(file folder)
          let old = DateTime(2020, 1, 1, 0, 0, 0, DateTimeKind.Utc)
          File.SetLastWriteTimeUtc(file folder, old)
          train folder ignore |> ignore
          Expect.equal (File.GetLastWriteTimeUtc(file folder)) old "left as it was"
          File.Delete(file folder)
          Expect.equal (fingerprint ()) before "the same without it"
          train folder ignore |> ignore
          Expect.equal (File.ReadAllText(file folder)) text "made anew, and the same"
      }

      test "one of another network, or a damaged one, is made anew" {
          use folder = new TempFolder()
          train folder ignore |> ignore
          let text = File.ReadAllText(file folder)

          for other in [ Json.write { kept folder with Checkpoint = "another" }; "{" ] do
              File.WriteAllText(file folder, other)
              train folder ignore |> ignore
              Expect.equal (File.ReadAllText(file folder)) text "anew"
      }

      test "where it cannot be written, the run ends with a warning" {
          use folder = new TempFolder()
          Directory.CreateDirectory(file folder) |> ignore
          let warnings = ResizeArray()

          let run =
              train folder (function
                  | Warning text -> warnings.Add text
                  | _ -> ())

          Expect.isTrue run.Finished "finished"
          Expect.hasLength warnings 1 "one warning"
          Expect.stringContains warnings[0] "takes for what is not in the run's folder" "words"
      }

      test "a folder without it has none" {
          use folder = new TempFolder()
          Expect.isNone (ConfusionFile.read { Path = folder.Path }) "none"
      } ]

let private damaged =
    let sample: Confusion =
        { Checkpoint = "0123"
          Stage = "activations"
          Epoch = 2
          Classes = [ { Name = "cat"; Images = 10; Right = 7 }; { Name = "dog"; Images = 9; Right = 9 } ]
          Pairs = [ { Truth = 0; Guess = 1; Count = 3 } ]
          Mistakes = [ { Truth = 0; Guess = 1; Probability = 0.9; Name = "a.png"; Picture = "AAAA" } ] }

    let reading (folder: TempFolder) (text: string) =
        File.WriteAllText(file folder, text)
        refusal (fun () -> ConfusionFile.read { Path = folder.Path })

    [ for what, confusion, words in
          [ "a pair of no class",
            { sample with Pairs = [ { Truth = 0; Guess = 2; Count = 1 } ] },
            "not of its 2 classes"
            "a mistake of no class",
            { sample with Mistakes = sample.Mistakes |> List.map (fun m -> { m with Truth = -1 }) },
            "not of its 2 classes"
            "a picture that is no base64",
            { sample with Mistakes = sample.Mistakes |> List.map (fun m -> { m with Picture = "\"><script>" }) },
            "not base64"
            "more images recognised than there are",
            { sample with Classes = [ { Name = "cat"; Images = 1; Right = 2 } ] },
            "more images recognised" ] do
          test $"{what} is refused" {
              use folder = new TempFolder()
              let message = reading folder (Json.write confusion)
              Expect.stringContains message words "what"
              Expect.stringContains message "confusion.json, content" "where"
          }

      test "damaged files are refused, or give a value" {
          use folder = new TempFolder()
          let random = Random 11
          let original = Encoding.UTF8.GetBytes(Json.write sample)

          for round in 1 .. Mutation.rounds / 10 do
              File.WriteAllBytes(file folder, Mutation.damage random original)

              try
                  ConfusionFile.read { Path = folder.Path } |> ignore
              with
              | :? InvalidFileException -> ()
              | other -> failtest $"round {round}: {other}"
      } ]

let tests = testList "confusion" [ counted; pictured; yield! keeping; yield! damaged ]
