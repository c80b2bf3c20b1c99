import ca.uhn.fhir.batch2.jobs.config.Batch2JobsConfig;
import ca.uhn.fhir.context.FhirContext;
import ca.uhn.fhir.jpa.api.IDaoRegistry;
import ca.uhn.fhir.jpa.api.config.JpaStorageSettings;
import ca.uhn.fhir.jpa.api.config.ThreadPoolFactoryConfig;
import ca.uhn.fhir.jpa.api.dao.DaoRegistry;
import ca.uhn.fhir.jpa.api.dao.IFhirSystemDao;
import ca.uhn.fhir.jpa.batch2.JpaBatch2Config;
import ca.uhn.fhir.jpa.config.r4.JpaR4Config;
import ca.uhn.fhir.jpa.config.util.HapiEntityManagerFactoryUtil;
import ca.uhn.fhir.jpa.model.config.PartitionSettings;
import ca.uhn.fhir.jpa.model.config.SubscriptionSettings;
import ca.uhn.fhir.jpa.partition.PartitionManagementProvider;
import ca.uhn.fhir.jpa.provider.DaoRegistryResourceSupportedSvc;
import ca.uhn.fhir.jpa.provider.JpaSystemProvider;
import ca.uhn.fhir.jpa.search.DatabaseBackedPagingProvider;
import ca.uhn.fhir.jpa.subscription.channel.config.SubscriptionChannelConfig;
import ca.uhn.fhir.jpa.subscription.match.deliver.email.IEmailSender;
import ca.uhn.fhir.rest.api.IResourceSupportedSvc;
import ca.uhn.fhir.rest.server.RestfulServer;
import ca.uhn.fhir.rest.server.interceptor.partition.RequestTenantPartitionInterceptor;
import ca.uhn.fhir.rest.server.provider.ResourceProviderFactory;
import ca.uhn.fhir.rest.server.tenant.UrlBaseTenantIdentificationStrategy;
import jakarta.persistence.EntityManagerFactory;
import java.io.File;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Properties;
import javax.sql.DataSource;
import org.apache.catalina.Context;
import org.apache.catalina.startup.Tomcat;
import org.apache.commons.dbcp2.BasicDataSource;
import org.springframework.beans.factory.config.ConfigurableListableBeanFactory;
import org.springframework.context.annotation.AnnotationConfigApplicationContext;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Configuration;
import org.springframework.context.annotation.Import;
import org.springframework.context.annotation.Primary;
import org.springframework.orm.jpa.JpaTransactionManager;
import org.springframework.orm.jpa.LocalContainerEntityManagerFactoryBean;

/**
 * The smallest HAPI FHIR JPA server (R4) over a PostgreSQL, for tests. Everything is configured by system properties:
 *
 * <pre>
 * db.url, db.user, db.password   JDBC URL of an empty database, or of one that this server made
 * port.file                      where the port is written once the server answers
 * history (true)                 false: versions are overwritten
 * tags (VERSIONED)               NON_VERSIONED or INLINE
 * tenants (false)                true: partitions by tenant, in the URL
 * </pre>
 */
public class Main {

    @Configuration
    @Import({JpaR4Config.class, ThreadPoolFactoryConfig.class, JpaBatch2Config.class, Batch2JobsConfig.class,
        SubscriptionChannelConfig.class})
    public static class Server {

        @Bean
        public JpaStorageSettings storageSettings() {
            JpaStorageSettings settings = new JpaStorageSettings();
            settings.setExpungeEnabled(true);
            settings.setDeleteExpungeEnabled(true);
            settings.setAllowMultipleDelete(true);
            settings.setResourceClientIdStrategy(JpaStorageSettings.ClientIdStrategyEnum.ALPHANUMERIC);
            settings.setEnforceReferentialIntegrityOnWrite(false);
            settings.setEnforceReferentialIntegrityOnDelete(false);
            settings.setResourceDbHistoryEnabled(Boolean.parseBoolean(System.getProperty("history", "true")));
            settings.setTagStorageMode(
                JpaStorageSettings.TagStorageModeEnum.valueOf(System.getProperty("tags", "VERSIONED")));
            return settings;
        }

        @Bean
        public PartitionSettings partitionSettings() {
            PartitionSettings settings = new PartitionSettings();
            settings.setPartitioningEnabled(tenants());
            return settings;
        }

        @Bean
        public SubscriptionSettings subscriptionSettings() {
            return new SubscriptionSettings();
        }

        @Bean
        public IEmailSender emailSender() {
            return details -> { };
        }

        @Bean
        public DatabaseBackedPagingProvider pagingProvider() {
            return new DatabaseBackedPagingProvider(50);
        }

        @Bean
        public IResourceSupportedSvc resourceSupportedSvc(IDaoRegistry registry) {
            return new DaoRegistryResourceSupportedSvc(registry);
        }

        @Bean(destroyMethod = "close")
        public BasicDataSource dataSource() {
            BasicDataSource source = new BasicDataSource();
            source.setDriverClassName("org.postgresql.Driver");
            source.setUrl(System.getProperty("db.url"));
            source.setUsername(System.getProperty("db.user"));
            source.setPassword(System.getProperty("db.password", ""));
            source.setMaxTotal(20);
            return source;
        }

        @Bean
        public LocalContainerEntityManagerFactoryBean entityManagerFactory(DataSource source,
            ConfigurableListableBeanFactory beans, FhirContext fhir, JpaStorageSettings storage) {
            LocalContainerEntityManagerFactoryBean factory =
                HapiEntityManagerFactoryUtil.newEntityManagerFactory(beans, fhir, storage);
            factory.setPersistenceUnitName("hapi");
            factory.setDataSource(source);
            Properties properties = new Properties();
            properties.put("hibernate.search.enabled", "false");
            properties.put("hibernate.hbm2ddl.auto", "update");
            properties.put("hibernate.dialect", "ca.uhn.fhir.jpa.model.dialect.HapiFhirPostgresDialect");
            factory.setJpaProperties(properties);
            return factory;
        }

        @Bean
        @Primary
        public JpaTransactionManager transactionManager(EntityManagerFactory factory) {
            return new JpaTransactionManager(factory);
        }
    }

    public static void main(String[] arguments) {
        try {
            run();
        } catch (Exception error) {
            // HAPI's threads would keep the process alive.
            error.printStackTrace();
            System.exit(1);
        }
    }

    private static void run() throws Exception {
        AnnotationConfigApplicationContext beans = new AnnotationConfigApplicationContext(Server.class);
        RestfulServer server = new RestfulServer(beans.getBean(FhirContext.class));
        server.registerProviders(beans.getBean(ResourceProviderFactory.class).createProviders());
        server.registerProvider(beans.getBean(JpaSystemProvider.class));
        server.setPagingProvider(beans.getBean(DatabaseBackedPagingProvider.class));
        if (tenants()) {
            server.setTenantIdentificationStrategy(new UrlBaseTenantIdentificationStrategy());
            server.registerInterceptor(beans.getBean(RequestTenantPartitionInterceptor.class));
            server.registerProvider(beans.getBean(PartitionManagementProvider.class));
        }
        Tomcat tomcat = new Tomcat();
        tomcat.setBaseDir(Files.createTempDirectory("hapi-server").toString());
        tomcat.setHostname("127.0.0.1");
        tomcat.setPort(0);
        tomcat.getConnector().setProperty("address", "127.0.0.1");
        tomcat.getConnector().setProperty("relaxedQueryChars", "|");
        Context context = tomcat.addContext("", new File(".").getAbsolutePath());
        Tomcat.addServlet(context, "fhir", server).setLoadOnStartup(1);
        context.addServletMappingDecoded("/fhir/*", "fhir");
        tomcat.start();
        Path written = Path.of(System.getProperty("port.file") + ".new");
        Files.writeString(written, Integer.toString(tomcat.getConnector().getLocalPort()));
        Files.move(written, Path.of(System.getProperty("port.file")));
        tomcat.getServer().await();
    }

    private static boolean tenants() {
        return Boolean.parseBoolean(System.getProperty("tenants", "false"));
    }
}
