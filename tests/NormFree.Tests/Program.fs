module NormFree.Tests.Program

open System
open Expecto
open Expecto.Impl
open NormFree.Torch.Native
open NormFree.Tests

let private all =
    [ testList "Architecture" [ Architecture.ReferenceTests.tests; Architecture.ScalarTests.tests ]
      testList
          "Repository"
          [ Repository.ReadmeTests.tests
            Repository.DocsTests.tests
            Repository.FeedTests.tests
            Repository.PublicSurfaceTests.tests
            Repository.ReliabilityTests.tests
            Suite.ApprovedSkipsTests.tests ]
      testList
          "Formats"
          [ Formats.AtomicFileTests.tests
            Formats.PrintableTests.tests
            Formats.FileKindTests.tests
            Formats.SafetensorsTests.tests
            Formats.OnnxTests.tests
            Formats.FileKindRemedyTests.tests
            Formats.PlainFileTests.tests
            Formats.EventFileTests.tests ]
      testList
          "Archives"
          [ Archives.TarTests.tests
            Archives.TarHeaderTests.tests
            Archives.PickleTests.tests
            Archives.PickleLiteralTests.tests
            Archives.NumpyArrayTests.tests
            Archives.StorageTests.tests
            Archives.ZipDirectoryTests.tests
            Archives.PyTorchTests.tests
            Archives.CheckpointContentTests.tests ]
      testList
          "Data"
          [ Data.RandomStreamTests.tests
            Data.ImageTests.tests
            Data.ImageSourceTests.tests
            Data.AugmentTests.tests
            Data.LoaderTests.tests
            Data.MixingTests.tests
            Data.RandAugmentTests.tests
            Data.SyntheticTests.tests
            Data.DecodeTests.tests
            Data.ImageKindTests.tests
            Data.JpegScansTests.tests
            Data.PnmTests.tests
            Data.TiffTests.tests
            Data.ArchiveTests.tests
            Data.ImageFolderTests.tests
            Data.CifarTests.tests
            Data.IdxSetTests.tests
            Data.EmnistTests.tests
            Data.FolderLayoutTests.tests
            Data.FolderContentTests.tests
            Data.NestedTarTests.tests
            Data.ContentTests.tests
            Data.ParquetTests.tests
            Data.CatalogueTests.tests
            Data.DownloadTests.tests ]
      // Networks at full width in float64 take up to 2 GB: one at a time.
      testSequencedGroup
          "large networks"
          (testList
              "Golden"
              [ Golden.LayerTests.tests
                Golden.ModelTests.tests
                Golden.BackboneTests.tests
                Golden.TrainingTests.tests ])
      testList
          "Spec"
          [ Spec.CountTests.tests
            Spec.ValidationTests.tests
            Spec.LoweringTests.tests
            Spec.ArchitectureTests.tests ]
      Fuzz.CorpusTests.tests
      testList
          "Kernels"
          [ Kernels.InstructionSetTests.tests
            Kernels.PackingTests.tests
            Kernels.XnorTests.tests
            Kernels.RooflineTests.tests
            Kernels.PackedFiltersTests.tests
            Kernels.EpilogueTests.tests
            Kernels.FilterTests.tests
            Kernels.OptimiserKernelTests.tests
            Kernels.LookupTests.tests
            Kernels.InputGradientTests.tests
            Kernels.ActivationTests.tests
            Kernels.RealTests.tests ]
      testList
          "Torch"
          [ Torch.NativeTests.tests
            Torch.LayerTests.tests
            Torch.OptimiserTests.tests
            Torch.FilterLayerTests.tests
            Torch.OptimiserKernelTests.tests
            Torch.FusedLayerTests.tests
            Torch.SignGradientTests.tests
            Torch.FusedFailureTests.tests ]
      testList
          "Inference"
          [ Inference.PackedFileTests.tests
            Inference.PackedDamageTests.tests
            Inference.PackedDamageVersion2Tests.tests
            Inference.PackedNetworkTests.tests
            Inference.PackedLimitTests.tests
            Inference.PackedConcurrencyTests.tests
            Inference.TeamChoiceTests.tests
            Inference.ImageInputTests.tests
            Inference.PackingTests.tests
            Inference.BackbonePackingTests.tests
            Inference.VerificationTests.tests
            Inference.ClassifyTests.tests ]
      testList
          "Training"
          [ Training.RecipeTests.tests
            Training.ExecutionTests.tests
            Training.NetworkTests.tests
            Training.FusedEngineTests.tests
            Training.RandomNetworkTests.tests
            Training.BlockTests.tests
            Training.MutatedSpecTests.tests
            Training.ExtensionTests.tests
            Training.CheckpointTests.tests
            Training.PipelineTests.tests
            Training.WeightAverageTests.tests
            Training.DataDependentInitTests.tests
            Training.SignCenteringTests.tests
            Training.RunFolderTests.tests
            Training.ConfusionTests.tests
            Training.ExactResumeTests.tests
            Training.FiniteChecksTests.tests
            Training.ImageDefaultsTests.tests
            Training.BenchTests.tests
            Training.InferenceTests.tests
            Training.ConcurrencyTests.tests
            Training.VanishingTests.tests
            Training.OverflowTests.tests ]
      testList "Telemetry" [ Telemetry.SampleTests.tests; Telemetry.RecordTests.tests; Telemetry.FileTests.tests ]
      testList
          "Experiments"
          [ Experiments.RunKeyTests.tests
            Experiments.RunOrderTests.tests
            Experiments.SweepTests.tests
            Experiments.ScriptTests.tests
            Experiments.FewImagesTests.tests ]
      testList "Benchmarks" [ Benchmarks.ComparisonTests.tests ]
      testList
          "Interop"
          [ Interop.ImportTests.tests
            Interop.OnnxRuntimeTests.tests
            Interop.OnnxInt8Tests.tests
            Interop.PyTorchTests.tests ]
      testList
          "Reporting"
          [ Reporting.StatisticsTests.tests
            Reporting.VerdictTests.tests
            Reporting.ChartTests.tests
            Reporting.ReportTests.tests
            Reporting.ExperimentPageTests.tests ]
      testList
          "Cli"
          [ Cli.UsageTests.tests
            Cli.ConfigurationTests.tests
            Cli.NetworkFileTests.tests
            Cli.CompletionTests.tests
            Cli.FailureTests.tests
            Cli.ForeignFileTests.tests
            Cli.JobTests.tests
            Cli.RoundTripTests.tests
            Cli.OwnImagesTests.tests
            Cli.KillTests.quick
            Cli.BenchTests.tests
            Cli.PackedTests.tests ]
      SystemCalls.SystemCallTests.tests
      testList "Zoo" [ Zoo.ZooTests.tests; Zoo.ZooToolTests.tests ]
      testList
          "Distributed"
          [ Distributed.ShardTests.tests
            Distributed.LivenessTests.tests
            Distributed.SimulationTests.tests
            Distributed.GradientStepTests.tests
            Distributed.NonFiniteTests.tests
            Distributed.FreezeTests.tests
            Distributed.BenchTests.tests
            Distributed.ScalingTests.tests
            Distributed.RestartTests.quick
            Distributed.MpiTests.quick ]
      testList
          "Samples"
          [ Samples.ServiceTests.tests
            Samples.LoadTests.tests
            Samples.BrowserTests.tests
            Samples.ReportPageTests.tests
            Samples.ContainerTests.tests
            Samples.OwnImagesTests.tests ]
      testList "Memory" [ Training.MemoryTests.short ] ]

/// What takes minutes: run alone, one after the other, by `--soak`.
let private soak =
    testSequenced (
        testList
            "Soak"
            [ Formats.SafetensorsLimitTests.soak
              Archives.StorageTests.soak
              Golden.ModelTests.soak
              Golden.TrainingTests.soak
              Interop.OnnxRuntimeTests.soak
              Interop.PyTorchTests.soak
              Distributed.GradientStepTests.soak
              Distributed.NonFiniteTests.soak
              Training.ExactResumeTests.soak
              Training.FusedEngineTests.soak
              Training.MemoryTests.soak
              Cli.KillTests.soak
              SystemCalls.SystemCallTests.soak
              testList
                  "Packages"
                  [ Packages.ContentTests.tests
                    Packages.ConsumerTests.tests
                    Packages.TemplateTests.tests
                    Packages.ToolTests.tests ]
              Zoo.ZooTests.soak
              Distributed.MpiTests.soak
              Distributed.RestartTests.soak
              Samples.LoadTests.soak
              Samples.OwnImagesTests.soak ]
    )

/// Expecto's own printer, which also keeps the summary.
let private keeping (summary: TestRunSummary option ref) =
    { TestPrinters.defaultPrinter with
        summary =
            fun config results ->
                summary.Value <- Some results
                TestPrinters.defaultPrinter.summary config results }

/// As many tests at once as there are processors: each of them computes on one thread.
let private runTests arguments =
    let summary = ref None
    let isSoak = Array.contains "--soak" arguments
    let isSequential = isSoak || Array.contains "--sequenced" arguments
    let others = arguments |> Array.filter ((<>) "--soak")
    Repository.ReliabilityTests.all <- fun () -> testList "all" (soak :: all)
    let chosen = Suite.Times.measured (if isSoak then soak else testList "NormFree" all)
    let settings = [ Printer(keeping summary); Parallel_Workers Environment.ProcessorCount ]
    let code = runTestsWithCLIArgs settings others chosen

    match summary.Value with
    | Some results when not (Suite.Report.write isSequential results) -> max code 1
    | _ -> code

let private runWithTorch arguments =
    TorchNative.Ensure()
    // Tests run side by side: with one thread each they do not wait for one another's.
    TorchSharp.torch.set_num_threads 1

    match arguments with
    | [| Distributed.RankProgram.Flag; "miss" |] -> Distributed.RankProgram.missOne ()
    | [| Distributed.RankProgram.Flag; failures; others; "fail" |] -> Distributed.RankProgram.fail failures others
    | [| Distributed.RankProgram.Flag; accumulate; path |] -> Distributed.RankProgram.run (int accumulate) path
    | _ -> runTests arguments

[<EntryPoint>]
let main arguments =
    match arguments with
    | [| SystemCalls.SystemCallTests.Flag; error; lasts; name |] ->
        SystemCalls.SystemCallTests.exercise (int error) (bool.Parse lasts) name
    | _ -> runWithTorch arguments
